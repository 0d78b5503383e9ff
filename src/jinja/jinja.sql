-- jinja.sql
--     The template language by itself.

CREATE FUNCTION dpipe_render(template text, context jsonb DEFAULT '{}')
RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'dpipe_render';

COMMENT ON FUNCTION dpipe_render(text, jsonb) IS
'Renders a Jinja template. The members of the JSON object "context" are its variables. It can read nothing else, and runs within the limits dpipe.template_max_*.';
