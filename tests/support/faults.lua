--- The table of faults and what runs one: clients with a ledger, the fault, its end, the comparison (support/ledger.lua).
---
--- A row: name; quick (runs in `make test`, too); sets, env, flags (of the engine); external (a PostgreSQL that is not the engine's
--- own); inject(t), hold (seconds), heal(t): what happens to t.e (the engine), t.data (PostgreSQL's directory), t.url;
--- after(t): what else must be true then; skip(): why it cannot run here.

local engine = require "tests.support.engine"
local ledger = require "tests.support.ledger"
local socket = require "socket"

local M = { rows = {} }
-- In memory where there is room: what is measured is the fault, not the disk of the machine and who else uses it.
local MEMORY = engine.run("[ -w /dev/shm ] && [ $(df -k --output=avail /dev/shm | tail -1) -gt 2097152 ]") == 0 and "/dev/shm" or "/tmp"

local function row(r) M.rows[#M.rows + 1] = r end

local function sh(text, ...)
  local code, words = engine.run(text:format(...))
  if code ~= 0 then error(text:format(...) .. "\n" .. words, 2) end
  return (words:gsub("%s+$", ""))
end
M.sh = sh

local function kill(signal, pids)
  for pid in tostring(pids):gmatch("%d+") do os.execute("kill -" .. signal .. " " .. pid .. " 2>/dev/null") end
end
M.kill = kill

local function postmaster(t) return (engine.read(t.data .. "/postmaster.pid") or ""):match("^%d+") end
M.postmaster = postmaster

local function children(pid, pattern)
  local found = {}
  for child in select(2, engine.run("pgrep -P " .. pid)):gmatch("%d+") do
    local line = (engine.read("/proc/" .. child .. "/cmdline") or ""):gsub("%z", " ")
    if line:find(pattern) then found[#found + 1] = child end
  end
  return found
end
M.children = children

local function evaluator(t)
  for pid in select(2, engine.run("pgrep -P " .. t.e.pid)):gmatch("%d+") do
    if (engine.read("/proc/" .. pid .. "/comm") or ""):find("cw%-evaluator") then return pid end
  end
end

--- The server process of the commit stream: the one that writes.
local function backends(t, what)
  return t.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    .. (what and " AND query ~ '" .. what .. "'" or ""))
end
local function commit_backend(t)
  return engine.wait("the backend of the commit stream", 5, function()
    return backends(t, "^(COMMIT|BEGIN|ROLLBACK|INSERT|WITH).*"):match("%d+")
  end)
end

function M.restart(t)
  t.e = engine.start { dir = t.dir, sets = t.row.sets, env = t.env, flags = t.row.flags }
end

-- ---- killed ----

row {
  name = "kill -9: engine, started again", quick = true,
  inject = function(t) t.e:kill "KILL" end, heal = function(t) M.restart(t) end, marks_at_once = true,
}

row {
  name = "kill -9: evaluator, eight times", quick = true, strict = true,
  inject = function(t)
    local killed = 0
    for _ = 1, 8 do
      socket.sleep(0.15)
      local pid = evaluator(t)
      if pid then
        killed = killed + 1
        kill("KILL", pid)
      end
    end
    assert(killed >= 3, killed .. " evaluators were found")
  end,
  after = function(t)
    local _, set = t.e:get("/api/v1/ruleset")
    for _, r in ipairs(set.rules) do assert(not r.quarantined, r.id .. " is in quarantine") end
  end,
}

row {
  name = "kill -9: zygote and evaluator", strict = true,
  inject = function(t)
    for pid in select(2, engine.run("pgrep -P " .. t.e.pid)):gmatch("%d+") do
      if (engine.read("/proc/" .. pid .. "/comm") or ""):find("^cw%-") then kill("KILL", pid) end
    end
  end,
}

row {
  name = "pg_terminate_backend: all, six times", quick = true,
  inject = function(t)
    for _ = 1, 6 do
      t.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
      socket.sleep(0.2)
    end
  end,
}

-- PostgreSQL restarts all of its processes when one dies of a signal.
row {
  name = "kill -9: backend of the commit stream", quick = true,
  inject = function(t) kill("KILL", commit_backend(t)) end,
}

row { name = "kill -9: all backends", inject = function(t) kill("KILL", backends(t)) end }

row {
  name = "kill -9: checkpointer",
  inject = function(t) kill("KILL", table.concat(children(postmaster(t), "checkpointer"), " ")) end,
}

row {
  name = "kill -9: background writer, WAL writer",
  inject = function(t)
    kill("KILL", table.concat(children(postmaster(t), "background writer"), " ") .. " "
      .. table.concat(children(postmaster(t), "walwriter"), " "))
  end,
}

row {
  name = "kill -9: postmaster", quick = true,
  inject = function(t) kill("KILL", postmaster(t)) end,
}

row {
  name = "kill -9: postmaster and all of PostgreSQL",
  inject = function(t)
    local pid = postmaster(t)
    kill("KILL", pid .. " " .. table.concat(children(pid, "."), " "))
  end,
}

row {
  name = "SIGQUIT: postmaster (immediate shutdown)",
  inject = function(t) kill("QUIT", postmaster(t)) end,
}

row {
  name = "kill -9: engine and all of PostgreSQL",
  inject = function(t)
    local pid = postmaster(t)
    t.e:kill "KILL"
    kill("KILL", pid .. " " .. table.concat(children(pid, "."), " "))
  end,
  heal = function(t) M.restart(t) end, marks_at_once = true,
}

local function pg_start(t)
  local bin = sh "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1"
  local as = sh "id -u" == "0" and "setpriv --reuid=postgres --regid=postgres --clear-groups " or ""
  engine.wait("the old server to be gone", 20, function()
    return (engine.run(string.format("cd / && %s%s/pg_ctl -D %s -l %s/postgres.log -w -t 30 -s start -o '-k %s -c listen_addresses= -c fsync=off'",
      as, bin, t.data, t.base, t.base))) == 0
  end)
end
M.pg_start = pg_start

row {
  name = "kill -9: postmaster of a server of one's own, started after 3 s", external = true, quick = true,
  inject = function(t) kill("KILL", postmaster(t)) end, hold = 3, heal = pg_start,
}

row {
  name = "fast shutdown of a server of one's own, started after 3 s", external = true,
  inject = function(t) kill("INT", postmaster(t)) end, hold = 3, heal = pg_start,
}

-- ---- frozen ----

local function stop(pids) return function(t) t.frozen = pids(t); kill("STOP", t.frozen) end end
local function cont(t) kill("CONT", t.frozen) end
local function all_of_postgres(t) return postmaster(t) .. " " .. table.concat(children(postmaster(t), "."), " ") end

row {
  name = "SIGSTOP: evaluator (it is replaced)", strict = true, quick = true,
  inject = stop(evaluator), hold = 2, heal = cont,
}
row { name = "SIGSTOP: backend of the commit stream, 10 s", inject = stop(commit_backend), hold = 10, heal = cont }
row { name = "SIGSTOP: postmaster, 5 s", inject = stop(postmaster), hold = 5, heal = cont, strict = true }
row {
  name = "SIGSTOP: all of PostgreSQL, 3 s; requests wait 1 s", quick = true, sets = { "pipeline.wait_ms=1000" },
  inject = stop(all_of_postgres), hold = 3, heal = cont,
}
row { name = "SIGSTOP: all of PostgreSQL, 10 s", inject = stop(all_of_postgres), hold = 10, heal = cont }
row { name = "SIGSTOP: engine, 10 s", inject = function(t) t.e:kill "STOP" end, hold = 10, heal = function(t) t.e:kill "CONT" end }

-- ---- running one ----

local function start(t)
  local r = t.row
  if r.external then
    local words = sh "tests/support/pg.sh start"
    t.base = words:match("PGTEST_DIR=(%S+)")
    t.data, t.url = t.base .. "/data", words:match("DATABASE_URL=(%S+)")
  end
  if r.prepare then r.prepare(t) end
  t.env = ((t.env_before or r.env or "") .. (t.url and string.format(" DATABASE_URL='%s'", t.engine_url or t.url) or ""))
  t.e = engine.start { dir = t.dir, sets = r.sets, env = t.env, flags = r.flags }
  t.data = t.data or t.dir .. "/pg/data"
  t.url = t.url or engine.read(t.dir .. "/database.url"):gsub("%s+$", "")
  t.sql = function(query)
    return sh("psql -X -q -A -t -v ON_ERROR_STOP=1 %q -c %q", t.url, query)
  end
end

local function go(t, result)
  local r = t.row
  start(t)
  t.run = ledger.start(t.e, r.clients or {})
  t.run:await(60)
  if r.marks_at_once then t.run:mark() end
  r.inject(t)
  if r.hold then socket.sleep(r.hold) end
  if r.heal then r.heal(t) end
  if not r.marks_at_once then t.run:mark() end
  t.run:resumed(15)
  t.run:await(100)
  if r.after then r.after(t) end
  for k, v in pairs(t.run:finish(t.sql)) do result[k] = v end
  result.problems = ledger.faults(result)
  local others = 0
  for code, n in pairs(result.codes) do others = others + (code == 200 and 0 or n) end
  if r.strict and others > 0 then table.insert(result.problems, others .. " were not answered 200") end
  if r.allow_none == false and result.codes.none then table.insert(result.problems, result.codes.none .. " lines broke") end
  t.e:stop { "" }
end

local function clean(t)
  if t.frozen then kill("CONT", t.frozen) end
  if t.run and t.run.dir then os.execute("kill $(cat " .. t.run.dir .. "/pids 2>/dev/null) 2>/dev/null") end
  if t.e and t.e:alive() then
    t.e:kill "CONT"
    t.e:kill "TERM"
    pcall(engine.wait, "its end", 20, function() return not t.e:alive() end)
    if t.e:alive() then t.e:kill "KILL" end
  end
  if t.row.clean then t.row.clean(t) end
  if t.base then engine.run("tests/support/pg.sh stop " .. t.base) end
  if not os.getenv("KEEP") then os.execute("rm -rf " .. t.dir) end
end

--- Runs a row: result of the ledger with `problems`, a list that is empty if all was well.
function M.run(r)
  local t = { row = r, dir = engine.tmpdir(MEMORY) }
  local result = { problems = {}, codes = {} }
  local ok, err = xpcall(go, debug.traceback, t, result)
  if not ok then
    table.insert(result.problems, tostring(err))
    if os.getenv("KEEP") then table.insert(result.problems, "kept: " .. t.dir) end
  end
  pcall(clean, t)
  result.t = t
  return result
end

return M
