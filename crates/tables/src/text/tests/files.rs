//! Several files, and large ones.

use super::{Lake, gzip, zstd};

#[tokio::test]
async fn files_are_widened_while_they_are_read() {
    let lake = Lake::new()
        .and("a.csv", "Id,value,only_a\n1,10,x\n2,,y\n")
        .and("b.csv", "value,ID\n1.5,3\n")
        .and("c.csv.gz", gzip("id,value\nfour,4\n"));
    assert_eq!(
        lake.rows("SELECT id, value, only_a FROM t ORDER BY id").await,
        ["1|10.0|x", "2||y", "3|1.5|", "four|4.0|"]
    );
}

#[tokio::test]
async fn an_empty_column_takes_the_type_of_the_other_files() {
    let lake = Lake::new().and("a.csv", "id,value\n1,\n").and("b.csv", "id,value\n2,5\n");
    assert_eq!(lake.rows("SELECT sum(value) FROM t").await, ["5"]);
}

#[tokio::test]
async fn json_records_lack_members_and_spell_them_freely() {
    let lake =
        Lake::new().and("a.json", "{\"Id\":1,\"x\":\"a\"}\n\n{\"Id\":2}\n").and("b.json", "{\"id\":3,\"X\":null}\n");
    assert_eq!(lake.rows("SELECT id, x FROM t ORDER BY id").await, ["1|a", "2|", "3|"]);
}

#[tokio::test]
async fn nested_json_of_several_files_is_read_as_one_type() {
    let lake = Lake::new()
        .and("a.json", "{\"who\":{\"n\":1},\"l\":[{\"k\":1}]}\n")
        .and("b.json", "{\"who\":{\"n\":1.5,\"m\":\"x\"},\"l\":[]}\n{\"who\":null,\"l\":[{\"k\":2},null]}\n");
    let rows = lake.rows("SELECT who['n'], who['m'], cardinality(l), l[1]['k'] FROM t ORDER BY 1").await;
    assert_eq!(rows, ["1.0||1|1", "1.5|x|0|", "||2|2"]);
}

#[tokio::test]
async fn quoted_values_keep_their_delimiters_quotes_and_line_ends() {
    let lake = Lake::with(
        "t.csv",
        "id,text\r\n1,\"a,b\"\r\n2,\"say \"\"hi\"\"\"\r\n3,\"two\r\nlines\"\r\n4,\"\"\r\n5,it's 5\" wide\r\n",
    );
    let rows = lake.rows("SELECT id, replace(text, chr(13) || chr(10), '/') FROM t").await;
    assert_eq!(rows, ["1|a,b", "2|say \"hi\"", "3|two/lines", "4|", "5|it's 5\" wide"]);
}

#[tokio::test]
async fn a_backslash_escapes_where_the_file_means_it() {
    let lake = Lake::with("t.csv", "id,text\n1,\"say \\\"hi\\\", ok\"\n2,\"x\"\n");
    assert_eq!(lake.rows("SELECT id, text FROM t").await, ["1|say \"hi\", ok", "2|x"]);
}

#[tokio::test]
async fn a_file_of_many_members_is_one_file() {
    let members = [gzip("id,x\n1,a\n2,"), gzip("b\n"), gzip(""), gzip("3,c\n"), vec![0; 512]].concat();
    assert_eq!(Lake::with("t.csv.gz", members).rows("SELECT id, x FROM t").await, ["1|a", "2|b", "3|c"]);
    let frames = [zstd("id,x\n1,a\n2,"), zstd("b\n3,c\n")].concat();
    assert_eq!(Lake::with("t.csv.zst", frames).rows("SELECT id, x FROM t").await, ["1|a", "2|b", "3|c"]);
}

fn many_rows(rows: usize) -> String {
    let mut csv = String::from("id,name,note\n");
    for id in 0..rows {
        csv.push_str(&format!("{id},name {},\"note, {}\nsecond line\"\n", id % 7, id % 11));
    }
    csv
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_keep_every_row_in_order() {
    let rows = 200_000u64;
    let csv = many_rows(rows as usize);
    assert!(csv.len() > 5 << 20, "several chunks, and more than is looked at");
    for (name, content) in [("t.csv", csv.clone().into_bytes()), ("t.csv.gz", gzip(&csv)), ("t.csv.zst", zstd(&csv))] {
        let lake = Lake::with(name, content);
        let sums = lake.rows("SELECT count(*), sum(id), count(DISTINCT note), min(name) FROM t").await;
        assert_eq!(sums, [format!("{rows}|{}|11|name 0", rows * (rows - 1) / 2)], "{name}");
        let batches = lake.try_batches("SELECT id FROM t").await.unwrap();
        let ids = batches.iter().flat_map(|batch| {
            assert!(batch.num_rows() <= 8192);
            arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(0)).values().to_vec()
        });
        assert!(ids.eq(0..rows as i64), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_json_keeps_every_row() {
    let row = |id: usize| {
        format!("{{\"id\": {id}, \"text\": \"a [b] {{c}} {}\", \"list\": [{id}, {{\"x\": 1}}]}}", "z".repeat(id % 50))
    };
    let rows: Vec<String> = (0..80_000).map(row).collect();
    let lines = rows.join("\n");
    let array = format!("[{}]", rows.join(",\n"));
    assert!(lines.len() > 5 << 20);
    for (name, content) in
        [("t.json", lines.clone().into_bytes()), ("t.json.gz", gzip(&array)), ("a.json", array.clone().into_bytes())]
    {
        let lake = Lake::with(name, content);
        let sums = lake.rows("SELECT count(*), sum(id), sum(length(text)), count(list) FROM t").await;
        let lengths: usize = (0..80_000).map(|id| 10 + id % 50).sum();
        assert_eq!(sums, [format!("80000|{}|{lengths}|80000", 80_000u64 * 79_999 / 2)], "{name}");
    }
}

#[tokio::test]
async fn a_limit_reads_the_beginning_only() {
    let lake = Lake::with("t.csv", many_rows(400_000));
    assert_eq!(lake.rows("SELECT id FROM t LIMIT 3").await, ["0", "1", "2"]);
}

#[tokio::test]
async fn hive_folders_are_columns_of_text_tables() {
    let lake = Lake::new().and("day=2024-01-01/a.csv", "x\n1\n").and("day=2024-01-02/b.csv", "x\n2\n");
    assert_eq!(lake.rows("SELECT day, x FROM t ORDER BY x").await, ["2024-01-01|1", "2024-01-02|2"]);
    assert_eq!(lake.rows("SELECT x FROM t WHERE day = '2024-01-02'").await, ["2"]);
}

#[tokio::test]
async fn the_last_line_needs_no_end_and_blank_lines_are_no_rows() {
    let lake = Lake::with("t.csv", "\n\na,b\n1,2\n\n3,4");
    assert_eq!(lake.rows("SELECT a, b FROM t").await, ["1|2", "3|4"]);
    let one = Lake::with("t.csv", "a\n1\n\n3\n");
    assert_eq!(one.rows("SELECT count(*), count(a) FROM t").await, ["3|2"]);
    assert_eq!(one.rows("SELECT a FROM t").await, ["1", "", "3"]);
}
