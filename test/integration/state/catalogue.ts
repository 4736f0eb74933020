/**
 * Describes everything in schema `lockstep`, one line a thing, in an order and a
 * form that do not depend on PostgreSQL's version.
 */
export const CATALOGUE_SQL = `
  SELECT line FROM (
    SELECT format('%s.%s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
             CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
             CASE WHEN a.attidentity <> '' THEN ' IDENTITY ' || a.attidentity::text
                  WHEN d.oid IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) ELSE '' END
             || CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || quote_ident(co.collname) ELSE '' END) AS line,
           1 AS part, c.relname AS relation, a.attnum AS place
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN pg_collation co ON co.oid = a.attcollation
    WHERE c.relnamespace = 'lockstep'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('%s: %s', c.relname, pg_get_constraintdef(k.oid)), 2, c.relname, 0
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.connamespace = 'lockstep'::regnamespace AND k.contype IN ('c', 'f', 'p', 'u')
    UNION ALL
    SELECT pg_get_indexdef(i.indexrelid), 3, c.relname, 0
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = 'lockstep'::regnamespace AND NOT i.indisprimary
  ) AS described
  ORDER BY relation COLLATE "C", part, place, line COLLATE "C"`;
