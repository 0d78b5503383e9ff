-- model.sql
--     Definition verbs of models, and the tracking of tables that dpipe does
--     not load. They check the caller themselves: a model is changed and run
--     by its owner, members of it, and superusers.

CREATE FUNCTION dpipe_create_model(name text, sql text, config jsonb DEFAULT '{}')
    RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dpipe_create_model';
COMMENT ON FUNCTION dpipe_create_model(text, text, jsonb) IS 'defines a model, or replaces its definition and keeps its state';

CREATE FUNCTION dpipe_drop_model(name text) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dpipe_drop_model';
COMMENT ON FUNCTION dpipe_drop_model(text) IS 'removes the definition of a model; the relation that it made stays';

CREATE FUNCTION dpipe_track("table" regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dpipe_track';
COMMENT ON FUNCTION dpipe_track(regclass) IS 'lets models read the new rows of a table that dpipe does not load';

CREATE FUNCTION dpipe_track_stamp() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'dpipe_track_stamp';
COMMENT ON FUNCTION dpipe_track_stamp() IS 'trigger of dpipe_track(): stamps rows with the id of their load';
