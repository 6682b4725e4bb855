--- A scratch PostgreSQL beside the engine's, for scenarios of the command line.
---
---   local pg = require("tests.support.postgres").start()
---   local url = pg:database("name")       -- an empty database
---   pg.sql(url, "SELECT 1")               -- one line a row, columns separated by |
---   pg:stop()

local engine = require "tests.support.engine"

local M = {}
local Postgres = {}
Postgres.__index = Postgres

function M.sql(url, text)
  local path = os.tmpname()
  engine.write(path, text)
  local code, words = engine.run(string.format("psql -X -q -A -t -v ON_ERROR_STOP=1 -d %q -f %s", url, path))
  os.remove(path)
  if code ~= 0 then error(words, 2) end
  return (words:gsub("%s+$", ""))
end

function M.start(options)
  local code, words = engine.run("PG_OPTIONS=" .. string.format("%q", options or "") .. " tests/support/pg.sh start")
  assert(code == 0, words)
  return setmetatable({ dir = words:match("PGTEST_DIR=(%S+)"), sql = M.sql }, Postgres)
end

function Postgres:url(name) return "postgresql://chainwatch@/" .. name .. "?host=" .. self.dir end

function Postgres:database(name)
  M.sql(self:url("postgres"), 'DROP DATABASE IF EXISTS "' .. name .. '"; CREATE DATABASE "' .. name .. '"')
  return self:url(name)
end

--- The schema as pg_dump writes it; the tables of migrations are left out.
function M.dump(url)
  local code, words = engine.run(string.format(
    "pg_dump --schema-only --no-owner -T 'schema_migrations*' -T alembic_version -d %q | grep -Ev '^.(un)?restrict|^--|^$'", url))
  assert(code == 0, words)
  return words
end
Postgres.dump = M.dump

function Postgres:stop() engine.run("tests/support/pg.sh stop " .. self.dir) end

return M
