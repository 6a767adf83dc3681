//! Which tables the files below a location are. Pure: the same paths, kinds and columns give the same tables.
//!
//! The rules, in order:
//! 1. The location itself is a place for tables; each named folder in it is a table if its files belong together, and
//!    otherwise a place for tables again. A folder that holds nothing but one other folder is passed through.
//! 2. Folders whose names are values (`2024`, `2024-01-05`, `year=2024`) are never tables: their files belong to the folder
//!    around them. `key=value` folders are partition columns, and all files of a table have the same keys.
//! 3. Files of one place that belong together are one table, named after the folder. Otherwise those that share a name
//!    pattern are a table: the ones that are more than half keep the folder's name, so that a stray file renames nothing.
//!    Every other file is a table of its own, named after the file.
//! 4. Two files belong together if they hold the same kind and share columns by name: half of the smaller schema where
//!    their paths follow one pattern (one writer, whose schema grew), three quarters of the larger one where they do not.
//!    Text without a header has to have the same number of columns.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::datatypes::SchemaRef;
use lakebed_tables::FileKind;

use super::naming::{pattern_name, table_name};
use crate::{
    content::kind_name,
    members::{Members, Scope},
    path::{file_name, folders, hive_keys, hive_pair, is_value_folder, pattern, stem},
    survey::Found,
};

/// What the layout has to know of a file.
#[derive(Debug, Clone)]
pub(crate) struct LayoutFile<'a> {
    /// Below the location.
    pub(crate) path: &'a str,
    pub(crate) kind: FileKind,
    /// Its column names are made up.
    pub(crate) nameless: bool,
    /// Equal schemas should be one `Arc`: they are compared by pointer first.
    pub(crate) schema: &'a SchemaRef,
}

impl<'a> From<&'a Found> for LayoutFile<'a> {
    fn from(found: &'a Found) -> Self {
        Self { path: &found.path, kind: found.kind, nameless: found.nameless(), schema: &found.schema }
    }
}

/// A table to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The name it should have.
    pub(crate) name: String,
    /// Below the location: a folder with a slash at its end, a file, or empty for the location itself.
    pub(crate) place: String,
    pub(crate) members: Members,
    /// Names of the partition columns.
    pub(crate) keys: Vec<String>,
    pub(crate) kind: FileKind,
    /// Indexes of its files.
    pub(crate) files: Vec<usize>,
    /// Files that lie in it and do not fit, with the reason.
    pub(crate) left_out: Vec<(usize, String)>,
    /// Why it is a table.
    pub(crate) reason: String,
}

/// The tables below a location named `root`. `files` are in the order of their paths.
pub(crate) fn plan(root: &str, files: &[LayoutFile<'_>]) -> Vec<Draft> {
    let patterns = files.iter().map(|file| pattern(file.path)).collect();
    let mut planner = Planner { files, patterns, drafts: Vec::new() };
    planner.place("", root, (0..files.len()).collect());
    planner.drafts.sort_by(|left, right| (&left.place, &left.name).cmp(&(&right.place, &right.name)));
    planner.drafts
}

/// The whole location as one table, because someone said so.
pub(crate) fn one_table(name: &str, files: &[LayoutFile<'_>], is_folder: bool) -> Option<Draft> {
    let mut kinds = HashMap::<FileKind, usize>::new();
    files.iter().for_each(|file| *kinds.entry(file.kind).or_default() += 1);
    let first = |kind: FileKind| files.iter().position(|file| file.kind == kind);
    let (kind, _) = kinds.into_iter().max_by_key(|(kind, count)| (*count, std::cmp::Reverse(first(*kind))))?;
    let keys = usual_keys(files.iter().filter(|file| file.kind == kind).map(|file| file.path)).unwrap_or_default();
    Some(Draft {
        name: name.to_owned(),
        place: String::new(),
        members: Members { everything: true, ..Members::default() },
        keys,
        kind,
        files: (0..files.len()).collect(),
        left_out: Vec::new(),
        reason: if is_folder { "the location was named as one table" } else { "one file" }.to_owned(),
    })
}

/// The sequence of partition keys that most paths have; of equally frequent ones the first. None if no path has any.
fn usual_keys<'a>(paths: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    let mut counts: Vec<(Vec<String>, usize)> = Vec::new();
    let mut at = HashMap::new();
    for keys in paths.map(hive_keys).filter(|keys| !keys.is_empty()) {
        let lower: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
        let position = *at.entry(lower).or_insert_with(|| {
            counts.push((keys, 0));
            counts.len() - 1
        });
        counts[position].1 += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(keys, _)| keys)
}

struct Planner<'a> {
    files: &'a [LayoutFile<'a>],
    /// Of the paths, in the same order.
    patterns: Vec<String>,
    drafts: Vec<Draft>,
}

/// Files that belong together, and what they have in common.
struct Group {
    kind: FileKind,
    nameless: bool,
    columns: HashSet<String>,
    patterns: HashSet<String>,
    files: Vec<usize>,
}

impl Planner<'_> {
    /// A folder (empty, or with a slash at its end) that may hold several tables.
    fn place(&mut self, folder: &str, name: &str, files: Vec<usize>) {
        let mut own = Vec::new();
        let mut children = BTreeMap::<String, Vec<usize>>::new();
        for file in files {
            match self.first_named_folder(folder, file) {
                Some(child) => children.entry(child).or_default().push(file),
                None => own.push(file),
            }
        }
        if !own.is_empty() {
            self.own_files(folder, name, own, Scope::Values);
        }
        for (child, files) in children {
            self.folder(&child, files);
        }
    }

    /// A named folder: one table, or a place for several.
    fn folder(&mut self, folder: &str, files: Vec<usize>) {
        let name = table_name(file_name(folder.trim_end_matches('/')));
        let children: HashSet<Option<String>> =
            files.iter().map(|file| self.first_named_folder(folder, *file)).collect();
        if children.len() == 1 && !children.contains(&None) {
            return self.place(folder, &name, files);
        }
        if self.groups(&files).len() == 1 {
            return self.own_files(folder, &name, files, Scope::All);
        }
        let (direct, below): (Vec<usize>, Vec<usize>) =
            files.iter().partition(|file| !self.files[**file].path[folder.len()..].contains('/'));
        let named_below = children.iter().flatten().count();
        if !direct.is_empty() && named_below > 1 && self.groups(&below).len() == 1 {
            self.own_files(folder, &name, below, Scope::All);
            self.exclude_from_last(folder, &direct);
            return self.own_files(folder, &name, direct, Scope::Values);
        }
        self.place(folder, &name, files);
    }

    /// The folder up to the first name below `folder` that is no value; None if there is none.
    fn first_named_folder(&self, folder: &str, file: usize) -> Option<String> {
        let rest = &self.files[file].path[folder.len()..];
        let mut end = folder.len();
        // Below the first partition folder everything belongs to the partitioned table.
        for segment in folders(rest).take_while(|segment| hive_pair(segment).is_none()) {
            end += segment.len() + 1;
            if !is_value_folder(segment) {
                return Some(self.files[file].path[..end].to_owned());
            }
        }
        None
    }

    /// The tables of files that have no named folder between them and `folder`, or that all belong together.
    fn own_files(&mut self, folder: &str, name: &str, files: Vec<usize>, scope: Scope) {
        let below = |file: &usize| &self.files[*file].path[folder.len()..];
        let Some(keys) = usual_keys(files.iter().map(below)) else {
            return self.plain_files(folder, name, files, scope);
        };
        let (keyed, plain): (Vec<usize>, Vec<usize>) =
            files.into_iter().partition(|file| !hive_keys(&self.files[*file].path[folder.len()..]).is_empty());
        self.keyed_files(folder, name, keyed, keys, scope);
        if !plain.is_empty() {
            self.exclude_from_last(folder, &plain);
            self.plain_beside_keyed(folder, name, plain, scope);
        }
    }

    /// Files in `key=value` folders: one table of the largest group with the usual keys, the others are conflicts.
    fn keyed_files(&mut self, folder: &str, name: &str, files: Vec<usize>, keys: Vec<String>, scope: Scope) {
        let lower: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
        let has_keys = |file: &usize| {
            hive_keys(&self.files[*file].path[folder.len()..])
                .iter()
                .map(|key| key.to_lowercase())
                .eq(lower.iter().cloned())
        };
        let (usual, unusual): (Vec<usize>, Vec<usize>) = files.into_iter().partition(has_keys);
        let mut groups = self.groups(&usual);
        // The largest, and of equally large ones the first.
        groups.sort_by_key(|group| (std::cmp::Reverse(group.files.len()), group.files.first().copied()));
        let mut groups = groups.into_iter();
        let Some(main) = groups.next() else { return };
        let shown = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let mut left_out: Vec<(usize, String)> = unusual
            .into_iter()
            .map(|file| (file, format!("its partition folders are not those of the table, {shown}")))
            .collect();
        for group in groups {
            let why = match group.kind == main.kind {
                true => "its columns are others than those of most files in the partitions".to_owned(),
                false => format!(
                    "it is {}, most files in the partitions are {}",
                    kind_name(group.kind),
                    kind_name(main.kind)
                ),
            };
            left_out.extend(group.files.iter().map(|file| (*file, why.clone())));
        }
        left_out.sort();
        self.drafts.push(Draft {
            name: name.to_owned(),
            place: folder.to_owned(),
            members: Members { scope, ..Members::default() },
            kind: main.kind,
            files: main.files,
            left_out,
            reason: format!("a folder of {} files partitioned by {shown}", kind_name(main.kind)),
            keys,
        });
    }

    /// Files without keys in a folder that has partitions: nobody can say their partition values.
    fn plain_beside_keyed(&mut self, folder: &str, name: &str, files: Vec<usize>, scope: Scope) {
        let before = self.drafts.len();
        self.plain_files(folder, &format!("{name}_unpartitioned"), files, scope);
        for draft in &mut self.drafts[before..] {
            draft.members.without_keys = draft.place.is_empty() || draft.place.ends_with('/');
            draft.reason.push_str(", beside the partition folders and not in them");
        }
    }

    fn plain_files(&mut self, folder: &str, name: &str, files: Vec<usize>, scope: Scope) {
        let groups = self.groups(&files);
        let direct_file = |file: usize| !self.files[file].path[folder.len()..].contains('/');
        match groups.as_slice() {
            [group] if group.files.len() == 1 && scope == Scope::Values && direct_file(group.files[0]) => {
                self.file_table(group.files[0], "one file");
            }
            [group] => {
                let reason = format!("a folder of {} files that belong together", kind_name(group.kind));
                self.folder_table(folder, name.to_owned(), group, Members { scope, ..Members::default() }, reason);
            }
            _ => self.mixed_files(folder, name, &files, &groups, scope),
        }
    }

    /// Files that do not belong together: tables by name pattern, and single files.
    fn mixed_files(&mut self, folder: &str, name: &str, files: &[usize], groups: &[Group], scope: Scope) {
        for group in groups {
            let mut by_pattern = BTreeMap::<&str, Vec<usize>>::new();
            for file in &group.files {
                by_pattern.entry(&self.patterns[*file][..]).or_default().push(*file);
            }
            let by_pattern: Vec<Vec<usize>> = by_pattern.into_values().collect();
            for part in by_pattern {
                if part.len() == 1 {
                    self.file_table(part[0], "a file that does not belong together with the others in its folder");
                    continue;
                }
                let relative = pattern(&self.files[part[0]].path[folder.len()..]);
                let most = part.len() * 2 > files.len();
                let own_name = pattern_name(&relative).filter(|_| !most).unwrap_or_else(|| name.to_owned());
                let members = Members { scope, pattern: Some(relative.clone()), ..Members::default() };
                let reason = format!("{} files named like `{relative}`, which belong together", kind_name(group.kind));
                let part = Group { files: part, patterns: HashSet::new(), columns: HashSet::new(), ..*group };
                self.folder_table(folder, own_name, &part, members, reason);
            }
        }
    }

    fn folder_table(&mut self, folder: &str, name: String, group: &Group, members: Members, reason: String) {
        self.drafts.push(Draft {
            name,
            place: folder.to_owned(),
            members,
            keys: Vec::new(),
            kind: group.kind,
            files: group.files.clone(),
            left_out: Vec::new(),
            reason,
        });
    }

    fn file_table(&mut self, file: usize, reason: &str) {
        let LayoutFile { path, kind, .. } = self.files[file];
        self.drafts.push(Draft {
            name: table_name(stem(file_name(path))),
            place: path.to_owned(),
            members: Members::default(),
            keys: Vec::new(),
            kind,
            files: vec![file],
            left_out: Vec::new(),
            reason: reason.to_owned(),
        });
    }

    /// The last table will not take these when it looks again.
    fn exclude_from_last(&mut self, folder: &str, files: &[usize]) {
        let paths = files.iter().map(|file| self.files[*file].path[folder.len()..].to_owned());
        if let Some(draft) = self.drafts.last_mut() {
            draft.members.excluded.extend(paths);
        }
    }

    /// Puts files that belong together into groups, the most common first.
    fn groups(&self, files: &[usize]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (pattern, same) in self.alike(files) {
            let LayoutFile { kind, nameless, schema, .. } = self.files[same[0]];
            let columns: HashSet<String> = schema.fields().iter().map(|field| field.name().to_lowercase()).collect();
            let fits =
                |group: &&mut Group| group.kind == kind && group.nameless == nameless && group.takes(&columns, pattern);
            match groups.iter_mut().find(fits) {
                Some(group) => {
                    group.columns.extend(columns);
                    group.patterns.insert(pattern.to_owned());
                    group.files.extend(same);
                }
                None => {
                    let patterns = HashSet::from([pattern.to_owned()]);
                    groups.push(Group { kind, nameless, columns, patterns, files: same });
                }
            }
        }
        groups.iter_mut().for_each(|group| group.files.sort_unstable());
        groups
    }

    /// Files with the same schema and pattern, most first: groups are then compared by schema and not by file.
    fn alike(&self, files: &[usize]) -> Vec<(&str, Vec<usize>)> {
        let mut alike: Vec<(&str, Vec<usize>)> = Vec::new();
        let mut at = HashMap::new();
        for &file in files {
            let LayoutFile { kind, nameless, schema, .. } = self.files[file];
            let pattern = self.patterns[file].as_str();
            let position = *at.entry((kind, nameless, std::sync::Arc::as_ptr(schema), pattern)).or_insert_with(|| {
                alike.push((pattern, Vec::new()));
                alike.len() - 1
            });
            alike[position].1.push(file);
        }
        alike.sort_by_key(|(_, files)| (std::cmp::Reverse(files.len()), files[0]));
        alike
    }
}

impl Group {
    fn takes(&self, columns: &HashSet<String>, pattern: &str) -> bool {
        let shared = self.columns.intersection(columns).count();
        let (smaller, larger) = (self.columns.len().min(columns.len()), self.columns.len().max(columns.len()));
        if self.nameless {
            return smaller == larger;
        }
        match self.patterns.contains(pattern) {
            true => shared * 2 >= smaller,
            false => shared * 4 >= larger * 3,
        }
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
