"""matrix.yaml as frozen types: the only place, with yaml_record, that sees raw dicts."""
