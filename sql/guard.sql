-- The install script of oms: code only.  The tables are made by CALL oms.init() as ordinary objects.
\echo Use "CREATE EXTENSION oms" to load this file. \quit

-- Function bodies name tables that exist only after oms.init().
SET LOCAL check_function_bodies = off;
