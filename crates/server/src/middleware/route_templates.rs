//! The templates of routes, by which metrics count requests.
//!
//! The look-up is the router's own library with the router's own templates, so it finds what the router finds. It is done outside of
//! the router: requests that a layer answers, such as preflights and those over a rate limit, count for their route as well.

use std::sync::Arc;

use matchit::Router;

/// Requests to no route.
const OTHER: &str = "other";

/// Finds the template of a path.
#[derive(Clone, Default)]
pub(crate) struct RouteTemplates {
    router: Arc<Router<&'static str>>,
}

impl RouteTemplates {
    /// Those of a router's routes; one that is there already is skipped.
    pub(crate) fn new(templates: impl IntoIterator<Item = &'static str>) -> Self {
        let mut router = Router::new();
        for template in templates {
            // Methods of one path share its template.
            let _ = router.insert(template, template);
        }
        Self { router: Arc::new(router) }
    }

    /// The template of this path, or `other`.
    pub(super) fn of(&self, path: &str) -> &'static str {
        self.router.at(path).map_or(OTHER, |matched| matched.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_by_its_template_alone() {
        let templates = RouteTemplates::new(["/a/{id}", "/a/{id}", "/a/list", "/{no}/{*path}", "/"]);
        for (path, template) in [
            ("/a/7", "/a/{id}"),
            ("/a/list", "/a/list"),
            ("/b/c/d", "/{no}/{*path}"),
            ("/", "/"),
            ("/b", "other"),
            ("*", "other"),
            ("", "other"),
        ] {
            assert_eq!(templates.of(path), template, "{path}");
        }
        assert_eq!(RouteTemplates::default().of("/a/7"), "other");
    }
}
