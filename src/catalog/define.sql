-- define.sql
--     Verbs that every kind of source has. They check the caller themselves:
--     a source is changed by its owner, members of it, and superusers.

CREATE FUNCTION dpipe_enable_source(name text) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dpipe_enable_source';
COMMENT ON FUNCTION dpipe_enable_source(text) IS 'lets a source run; takes it out of the state error for another try';

CREATE FUNCTION dpipe_disable_source(name text) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dpipe_disable_source';
COMMENT ON FUNCTION dpipe_disable_source(text) IS 'stops a source; its position stays';

CREATE FUNCTION dpipe_drop_source(name text) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dpipe_drop_source';
COMMENT ON FUNCTION dpipe_drop_source(text) IS 'removes a source and its position; loads and dead letters stay';

CREATE FUNCTION dpipe_adopt() RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dpipe_adopt';
COMMENT ON FUNCTION dpipe_adopt() IS 'makes definitions that came with a dump or a copied database run in this one';
