"""Groups, versions, resources and OpenAPI documents, derived from the catalogue alone."""
