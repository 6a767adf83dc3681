//! `/openapi.json`, `/docs`, `/redoc`.

use crate::server::Server;

#[tokio::test]
async fn every_operation_is_described_with_its_problems() {
    let server = Server::start().await;
    let document = server.get("/openapi.json").await.json();
    assert_eq!(document, lakebed_api_rest::openapi());
    let paths = document["paths"].as_object().unwrap();
    for path in
        ["/v1/sql", "/v1/queries/{id}/results", "/v1/databases/{database}/tables/{table}/rows", "/query-parquet"]
    {
        assert!(paths.contains_key(path), "{path}");
    }
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            for status in ["400", "401", "403", "404", "405", "413", "415", "429", "500", "503"] {
                let content = &responses[status]["content"]["application/problem+json"];
                assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{method} {path} {status}");
            }
        }
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let document = lakebed_api_rest::openapi();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_viewers_work_offline() {
    let server = Server::start().await;
    for path in ["/docs/", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/redoc"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'self'"), "{path}");
    }
    assert!(server.get("/docs").await.status.is_redirection());
    assert!(server.get("/docs/swagger-initializer.js").await.text().contains("/openapi.json"));
    let page = server.get("/redoc").await.text();
    let script = page.split("src=\"").nth(1).unwrap().split('"').next().unwrap();
    let answer = server.get(script).await;
    assert!(answer.header("cache-control").contains("immutable"));
    assert!(answer.body.len() > 500_000);
}
