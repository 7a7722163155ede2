//! Parts of the OpenAPI document that follow from a rule and are therefore not written at each route.
//!
//! - An operation that may answer 401 needs a key.
//! - A path parameter called `…_no` is a public number.
//! - An answer that contains a file or a folder links to the operations that are next.

use serde_json::{Value, json};
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, RefOr, Response, Schema};

/// The alphabet and length of public numbers (`service/public_id.rs`).
const PUBLIC_NUMBER: &str = "^[0-9a-hj-km-np-tv-z]{10}$";
/// Operations that answer a file, and where its number is in the body.
const ANSWER_FILES: [(&str, &str); 5] = [
    ("complete_multipart", "/file_no"),
    ("create_upload", "/file_no"),
    ("create_remote_upload", "/file_no"),
    ("update_file", "/data/file_no"),
    ("rename_file", "/data/file_no"),
];
/// Operations that answer a folder.
const ANSWER_FOLDERS: [&str; 2] = ["create_folder", "rename_folder"];

/// Adds them to every operation.
pub(super) fn apply(document: &mut OpenApi) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        if operation.responses.responses.contains_key("401") {
            operation.security =
                Some(["bearer", "api_key"].map(|scheme| SecurityRequirement::new(scheme, [""; 0])).into());
        }
        describe_numbers(operation);
        add_links(operation);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn describe_numbers(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.parameter_in == ParameterIn::Path
            && parameter.name.ends_with("_no")
            && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
        {
            schema.pattern = Some(PUBLIC_NUMBER.to_owned());
        }
    }
}

fn add_links(operation: &mut Operation) {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let links = match ANSWER_FILES.iter().find(|(answers, _)| *answers == id) {
        Some((_, pointer)) => links_of_file(pointer),
        None if ANSWER_FOLDERS.contains(&id) => links_of_folder(),
        None => return,
    };
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(Response { links: into, .. }) = response
            && status.starts_with('2')
        {
            into.extend(links.iter().map(|(name, link)| ((*name).to_owned(), link.clone().into())));
        }
    }
}

fn links_of_file(pointer: &str) -> Vec<(&'static str, Link)> {
    let number = format!("$response.body#{pointer}");
    let with_number = |name| (name, to(name).parameter("file_no", number.clone()).build());
    ["get_file", "update_file", "rename_file", "delete_file"].map(with_number).into()
}

fn links_of_folder() -> Vec<(&'static str, Link)> {
    const NUMBER: &str = "$response.body#/folder_no";
    let with_number = |name, parameter: &str| (name, to(name).parameter(parameter, NUMBER).build());
    let with_body = |name, body: Value| (name, to(name).request_body(Some(body)).build());
    vec![
        with_number("rename_folder", "folder_no"),
        with_number("delete_folder", "folder_no"),
        with_number("list_folders", "parent_folder_no"),
        with_number("list_files", "folder_no"),
        with_body("create_folder", json!({"parent_folder_no": NUMBER})),
        with_body("start_multipart", json!({"folder": "$response.body#/path"})),
        with_body("create_upload", json!({"folder": "$response.body#/path"})),
    ]
}

fn to(operation_id: &str) -> LinkBuilder {
    LinkBuilder::new().operation_id(operation_id)
}
