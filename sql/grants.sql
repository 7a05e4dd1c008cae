-- grants.sql: roles, and who may call what.  Nothing is for PUBLIC.

CREATE PROCEDURE oms.init_grants() LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $init$
DECLARE
    app       text[] := ARRAY[
        'call',
        'place_order',
        'place_orders',
        'preview_order',
        'edit_order',
        'route_order',
        'order_as_of',
        'get_order',
        'find_order',
        'order_timeline',
        'explain_route',
        'network_map',
        'route_map',
        'cancel_order',
        'confirm_order',
        'available',
        'available_by_date',
        'available_many',
        'explain_available',
        'reserve',
        'extend_reservation',
        'release_reservation',
        'add_payment',
        'record_payment_event',
        'order_balance',
        'request_capture',
        'request_void',
        'request_refund',
        'grant_refund',
        'revoke_refund',
        'request_return',
        'exchange_order',
        'approve_return',
        'ship_return',
        'reject_return',
        'cancel_return',
        'close_return',
        'get_return',
        'issue_credit',
        'credit_balance',
        'hold_order',
        'hold_fulfillment',
        'release_hold',
        'order_holds',
        'record_answer',
        'edit_draft',
        'place_draft',
        'find_orders',
        'find_object',
        'set_external_ref',
        'set_attributes',
        'state_diagram',
        'version',
        'current_time'];
    warehouse text[] := ARRAY[
        'call',
        'receive_stock',
        'adjust_stock',
        'count_stock',
        'fill_backorders',
        'date_backorders',
        'expect_supply',
        'receive_supply',
        'cancel_supply',
        'request_transfer',
        'ship_transfer',
        'receive_transfer',
        'close_transfer',
        'cancel_transfer',
        'load_stock',
        'move_stock_state',
        'stock_as_of',
        'suggest_lots',
        'available',
        'available_by_date',
        'available_many',
        'explain_available',
        'get_order',
        'find_order',
        'order_timeline',
        'release_fulfillment',
        'accept_fulfillment',
        'pick_fulfillment',
        'pack_fulfillment',
        'ready_for_pickup',
        'ship_fulfillment',
        'pick_up_fulfillment',
        'deliver_fulfillment',
        'cancel_fulfillment',
        'ship_return',
        'receive_return',
        'reject_return',
        'close_return',
        'get_return',
        'hold_order',
        'hold_fulfillment',
        'release_hold',
        'order_holds',
        'find_object',
        'set_external_ref',
        'set_attributes',
        'state_diagram',
        'version',
        'current_time'];
    role_name text;
    granted   record;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['oms_app', 'oms_warehouse', 'oms_analyst', 'oms_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;   -- another database of the cluster was faster
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % does not exist and cannot be created by %', role_name, current_user
                        USING ERRCODE = 'OM012', HINT = format('Ask a superuser for: CREATE ROLE %I NOLOGIN;', role_name);
            END;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA oms TO %I', role_name);
    END LOOP;
    FOR granted IN
        SELECT p.oid::regprocedure AS signature, p.proname::text AS name
        FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
             JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'oms'
        WHERE p.prokind = 'f'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO oms_admin', granted.signature);
        IF granted.name = ANY (app) THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO oms_app', granted.signature);
        END IF;
        IF granted.name = ANY (warehouse) THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO oms_warehouse', granted.signature);
        END IF;
        IF granted.name IN ('audit', 'stock_as_of', 'explain_available', 'quota_tree', 'explain_route', 'check_network', 'state_diagram', 'version', 'current_time',
                            'network_map',
                            'simulate_routing', 'simulate_routing_orders', 'routing_policies_at') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO oms_analyst', granted.signature);
        END IF;
    END LOOP;
    REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA oms FROM PUBLIC;
    -- Whom its owner lets write a table of ours, its guards ask this.
    GRANT EXECUTE ON FUNCTION oms.in_call() TO oms_admin;

    -- Configuration is edited in tables; everything else is written by functions only.
    GRANT SELECT, INSERT, UPDATE, DELETE ON oms.channels, oms.locations, oms.channel_locations, oms.items, oms.stock_state_types,
        oms.calendars, oms.calendar_hours, oms.calendar_days, oms.location_services, oms.transit_times, oms.exchange_rates,
        oms.location_groups, oms.location_group_members, oms.scarcity_prices, oms.unit_values,
        oms.postal_codes, oms.carriers, oms.carrier_services, oms.shipping_zones, oms.shipping_rates, oms.atp_rules, oms.backorder_rules,
        oms.state_machines, oms.transitions, oms.role_scopes, oms.hold_types, oms.channel_holds, oms.customers,
        oms.return_rules, oms.refund_limits TO oms_admin;
    -- Views that show each reader what its scopes allow.
    GRANT SELECT ON oms.routing_queue TO oms_app, oms_warehouse, oms_analyst;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA oms TO oms_admin;
    GRANT SELECT ON ALL TABLES IN SCHEMA oms TO oms_admin;
END $init$;

REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA oms FROM PUBLIC;
