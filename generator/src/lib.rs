//! Turns `api.yaml` into everything that is generated.
