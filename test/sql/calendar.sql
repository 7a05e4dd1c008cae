-- calendar.sql: calendars, times of locations and services, transit times: what is saved is checked.
\pset pager off
CREATE DATABASE oms_calendar;
\c oms_calendar
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-11-23 09:00+00';

SELECT oms.upsert_calendars('[
  {"code": "office", "name": "Monday to Friday", "hours": [{"weekday": 1, "opens": "08:00", "closes": "18:00"},
    {"weekday": 2, "opens": "08:00", "closes": "18:00"}, {"weekday": 3, "opens": "08:00", "closes": "18:00"},
    {"weekday": 4, "opens": "08:00", "closes": "18:00"}, {"weekday": 5, "opens": "08:00", "closes": "16:30:30"}],
   "days": [{"from": "2026-12-24", "opens": "08:00", "closes": "12:00"}, {"from": "2026-12-25", "to": "2026-12-27", "note": "Christmas"}]},
  {"code": "always"},
  {"code": "market", "hours": [], "days": [{"from": "2026-12-05", "to": "2026-12-06", "closes": "14:00"}]}]');
SELECT calendar, weekday, opens, closes FROM oms.calendar_hours ORDER BY 1, 2;
SELECT calendar, location, first_day, last_day, opens, closes, note FROM oms.calendar_days ORDER BY 1, 2, 3;
-- What is left out stays; what is given replaces.
SELECT oms.upsert_calendars('[{"code": "office", "name": "Office"}, {"code": "market", "days": [{"from": "2026-12-12", "opens": "06:00"}]}]');
SELECT c.code, c.name, (SELECT count(*) FROM oms.calendar_hours h WHERE h.calendar = c.code) AS hours,
       (SELECT count(*) FROM oms.calendar_days d WHERE d.calendar = c.code) AS days FROM oms.calendars c ORDER BY 1;

-- Every fault at once; nothing is written.
SELECT oms.upsert_calendars('[
  {"code": "a", "hours": [{"weekday": 8}, {"weekday": 1, "opens": "25:00"}, {"weekday": 2, "opens": "9"},
    {"weekday": 3, "opens": "18:00", "closes": "08:00"}, {"weekday": 4}, {"weekday": 4, "closes": "24:01"}]},
  {"code": "b", "days": [{"from": "2026-02-29"}, {"from": "2026-3-1"}, {"from": "2026-05-02", "to": "2026-05-01"},
    {"from": "2026-06-01", "to": "2026-06-10"}, {"from": "2026-06-10"}, {"from": "2026-07-01", "location": "mars"},
    {"from": "2026-08-01", "opens": "12:00", "closes": "12:00"}, {"to": "2026-09-01"}]},
  {"code": "b"}]');
-- An impossible calendar: never open, or not within a year.
SELECT oms.upsert_calendars('[{"code": "never", "hours": []}]');
SELECT oms.upsert_calendars('[{"code": "never", "hours": [], "days": [{"from": "2027-11-25", "closes": "12:00"}]}]');
SELECT oms.upsert_calendars('[{"code": "once", "hours": [], "days": [{"from": "2027-11-24", "closes": "12:00"}]}]');
SELECT oms.upsert_calendars('[{"code": "office", "days": [{"from": "2026-01-01", "to": "2028-12-31"}]}]');
SELECT oms.upsert_calendars(NULL);
SELECT code FROM oms.calendars ORDER BY 1;
-- By hand it is no better.
INSERT INTO oms.calendar_hours (calendar, weekday, opens, closes) VALUES ('office', 6, '10:00', '09:00');
INSERT INTO oms.calendar_days (calendar, first_day, last_day, opens) VALUES ('office', '2027-01-01', '2027-01-01', '09:00');
DELETE FROM oms.calendars WHERE code = 'once';

-- Locations.
SELECT oms.upsert_locations('[{"code": "north", "time_zone": "Europe/Berlin", "calendar": "office", "cut_off": "14:00",
  "collected_at": "17:00", "handling_days": 1, "handling_hours": 2.5, "services": [{"service": "night", "cut_off": "20:00"}]}]');
SELECT time_zone, calendar, cut_off, collected_at, handling_days, handling_hours FROM oms.locations WHERE code = 'north';
SELECT service, cut_off, collected_at FROM oms.location_services;
SELECT oms.upsert_locations('[{"code": "x", "time_zone": "Mars/Olympus"}, {"code": "y", "calendar": "lunar", "cut_off": "noon", "collected_at": "12:60"},
  {"code": "z", "handling_days": 367, "handling_hours": 10001, "services": [{"service": "a", "cut_off": "1"}, {"service": "a"}]}]');
SELECT oms.upsert_locations('[{"code": "north", "services": []}]');
SELECT count(*) FROM oms.location_services;
DELETE FROM oms.calendars WHERE code = 'office';

-- Services and transit times.
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "parcel", "calendar": "office", "delivery_calendar": "always", "delivered_by": "20:00"}]}]');
SELECT calendar, delivery_calendar, delivered_by FROM oms.carrier_services;
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "q", "calendar": "lunar", "delivery_calendar": "lunar", "delivered_by": "late"}]}]');
SELECT oms.load_transit_times('parcel', '[{"zone": "near", "days": 1}, {"zone": "far", "days": 2, "days_latest": 4},
  {"distance_to": 100, "days": 1}, {"distance_from": 100, "days": 3}]');
SELECT zone, distance_from, distance_to, days, days_latest FROM oms.transit_times ORDER BY 1, 2;
SELECT oms.load_transit_times('parcel', '[{"days": 367}, {}]');
SELECT oms.load_transit_times('parcel', '[{"zone": "near", "days": 1}, {"zone": "near", "days": 2}, {"days": 3, "days_latest": 2},
  {"distance_from": 5, "days": 1}, {"zone": "x", "distance_to": 5, "days": 1}, {"distance_from": 9, "distance_to": 8, "days": 1}]');
SELECT oms.load_transit_times('snail', '[]');
SELECT count(*) FROM oms.transit_times;
-- A zone that is none, written by hand, is named.
UPDATE oms.locations SET time_zone = 'Nowhere' WHERE code = 'north';
SELECT * FROM oms.check_network() WHERE "check" = 'location without time zone';
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_calendar;
