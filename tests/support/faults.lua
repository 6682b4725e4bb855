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

local function none_in_quarantine(t)
  local _, set = t.e:get("/api/v1/ruleset")
  for _, r in ipairs(set.rules) do assert(not r.quarantined, r.id .. " is in quarantine") end
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
  after = none_in_quarantine,
}

local function zygote_and_evaluators(t)
  local pids = {}
  for pid in select(2, engine.run("pgrep -P " .. t.e.pid)):gmatch("%d+") do
    if (engine.read("/proc/" .. pid .. "/comm") or ""):find("^cw%-") then pids[#pids + 1] = pid end
  end
  return table.concat(pids, " ")
end

row {
  name = "kill -9: zygote and evaluator, six times", strict = true,
  inject = function(t)
    for _ = 1, 6 do
      kill("KILL", zygote_and_evaluators(t))
      socket.sleep(0.2)
    end
  end,
  after = none_in_quarantine,
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
  name = "kill -9: postmaster of a server of one's own, started after 3 s", external = true,
  inject = function(t) kill("KILL", postmaster(t)) end, hold = 3, heal = pg_start,
}

row {
  name = "fast shutdown of a server of one's own, started after 3 s", external = true,
  inject = function(t) kill("INT", postmaster(t)) end, hold = 3, heal = pg_start,
}

row {
  name = "kill -9: engine and a server of one's own, which is started 3 s after the engine", external = true,
  inject = function(t)
    t.e:kill "KILL"
    kill("KILL", postmaster(t))
    t.e = engine.start { dir = t.dir, sets = t.row.sets, env = t.env, wait = false }
  end,
  hold = 3,
  heal = function(t)
    pg_start(t)
    engine.wait("the engine to be up", 60, function()
      t.e.port = tonumber((engine.read(t.dir .. "/engine.pid") or ""):match("\n127%.0%.0%.1:(%d+)\n"))
      return t.e.port
    end)
  end,
}

-- As behind an address that leads to a primary which has become a standby: sessions that were opened meanwhile never heal.
row {
  name = "a database that is read-only for 4 s, for sessions that begin then", external = true, quick = true,
  inject = function(t)
    t.sql("ALTER DATABASE chainwatch SET default_transaction_read_only = on")
    t.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
  end,
  hold = 4,
  heal = function(t)
    sh("psql -X -q %q -c 'SET default_transaction_read_only = off' -c 'ALTER DATABASE chainwatch RESET default_transaction_read_only'", t.url)
  end,
}

row {
  name = "LOCK TABLE of somebody else, 4 s; requests wait 1 s", sets = { "pipeline.wait_ms=1000" },
  inject = function(t)
    os.execute(string.format("psql -X -q %q -c 'BEGIN; LOCK TABLE transactions, predictions, anomalies; SELECT pg_sleep(4)' >/dev/null &", t.url))
  end,
  hold = 4.5,
}

-- ---- frozen ----

local function stop(pids) return function(t) t.frozen = pids(t); kill("STOP", t.frozen) end end
local function cont(t) kill("CONT", t.frozen) end
local function all_of_postgres(t) return postmaster(t) .. " " .. table.concat(children(postmaster(t), "."), " ") end

row {
  name = "SIGSTOP: evaluator (it is replaced)", strict = true, quick = true,
  inject = stop(evaluator), hold = 2, heal = cont,
}
-- Wherever it strikes: at work, at rest, while rules are loaded or attached.
row {
  name = "SIGSTOP: zygote and evaluators, six times, for good", strict = true, quick = true,
  inject = function(t)
    for _ = 1, 6 do
      kill("STOP", zygote_and_evaluators(t))
      socket.sleep(0.4)
    end
  end,
  after = none_in_quarantine,
}
row { name = "SIGSTOP: backend of the commit stream, 10 s", inject = stop(commit_backend), hold = 10, heal = cont }
row { name = "SIGSTOP: postmaster, 5 s", inject = stop(postmaster), hold = 5, heal = cont, strict = true }
row {
  name = "SIGSTOP: all of PostgreSQL, 3 s; requests wait 1 s", quick = true, sets = { "pipeline.wait_ms=1000" },
  inject = stop(all_of_postgres), hold = 3, heal = cont,
}
row { name = "SIGSTOP: all of PostgreSQL, 10 s", inject = stop(all_of_postgres), hold = 10, heal = cont }
row { name = "SIGSTOP: engine, 10 s", inject = function(t) t.e:kill "STOP" end, hold = 10, heal = function(t) t.e:kill "CONT" end }

-- ---- a disk that is full ----

local function cannot_mount()
  local can = engine.run("d=$(mktemp -d) && mount -t tmpfs -o size=1m none $d && umount $d && rmdir $d") == 0
  return not can and "mounting a small disk takes root" or nil
end

local function disk(t, path, mb, owner)
  sh("mkdir -p %s && mount -t tmpfs -o size=%dm,mode=0755 none %s%s", path, mb, path,
    owner and " && chown " .. owner .. " " .. path .. " && chmod 700 " .. path or "")
  t.disks = t.disks or {}
  table.insert(t.disks, path)
end

local function fill(path)
  for _, block in ipairs { "64k", "512" } do
    engine.run(("dd if=/dev/zero of=%s/filler.%s bs=%s 2>/dev/null"):format(path, block, block))
  end
end
local function free(path) sh("rm -f %s/filler.*", path) end

row {
  name = "disk full: data directory of the engine, PostgreSQL elsewhere, 4 s", external = true, strict = true, skip = cannot_mount,
  sets = { "rules.checkpoint_s=1" },
  prepare = function(t) disk(t, t.dir, 128) end,
  inject = function(t)
    engine.wait("a checkpoint", 15, function() return engine.read(t.dir .. "/state.ckpt") end)
    fill(t.dir)
  end,
  hold = 4, heal = function(t) free(t.dir) end,
  after = function(t)
    os.remove(t.dir .. "/state.ckpt")
    engine.wait("checkpoints to go on", 15, function() return engine.read(t.dir .. "/state.ckpt") end)
  end,
}

row {
  name = "disk full: all of PostgreSQL, 5 s", quick = true, skip = cannot_mount,
  prepare = function(t) disk(t, t.dir .. "/pg", 400) end,
  inject = function(t) fill(t.dir .. "/pg") end,
  hold = 5, heal = function(t) free(t.dir .. "/pg") end,
}

row {
  name = "disk full: tablespace of the transactions, 5 s", skip = cannot_mount,
  inject = function(t)
    t.space = t.dir .. "-space"
    disk(t, t.space, 64, "postgres")
    t.sql("CREATE TABLESPACE small LOCATION '" .. t.space .. "'")
    t.sql("ALTER TABLE transactions SET TABLESPACE small")
    t.run:await(20)
    fill(t.space)
  end,
  hold = 5, heal = function(t) free(t.space) end,
}

-- The server ends in a panic, and cannot start before there is room again.
row {
  name = "disk full: write-ahead log, 5 s", skip = cannot_mount,
  started = function(t)
    t.wal = t.dir .. "-wal"
    t.e:stop()
    disk(t, t.wal, 96, "postgres")
    sh("cp -a %s/pg_wal/. %s/ && rm -rf %s/pg_wal && ln -s %s %s/pg_wal", t.data, t.wal, t.data, t.wal, t.data)
    M.restart(t)
  end,
  inject = function(t)
    fill(t.wal)
    engine.run(("psql -X -q %q -c 'SELECT pg_switch_wal()'"):format(t.url))
  end,
  hold = 5, heal = function(t) free(t.wal) end,
}

-- ---- clocks ----

local FAKETIME = select(2, engine.run("ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null")):match("%S+")
local function no_faketime() return not FAKETIME and "libfaketime is missing" or nil end
local function fake(t)
  t.clock = t.dir .. "/clock"
  engine.write(t.clock, "+0\n")
  return "LD_PRELOAD=" .. FAKETIME .. " FAKETIME_NO_CACHE=1 FAKETIME_TIMESTAMP_FILE=" .. t.clock .. " "
end
local function turn(t, steps)
  for _, to in ipairs(steps) do
    engine.write(t.clock, to .. "\n")
    t.run:await(30)
  end
end
local STEPS = { "+1d", "-1h", "+40d", "-400d", "+0" }

row {
  name = "clock of the engine: +1 day, -1 hour, +40 days, -400 days, and right again", quick = true, strict = true, skip = no_faketime,
  env = function(t) return fake(t) .. "FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1" end,
  inject = function(t) turn(t, STEPS) end,
}

row {
  name = "the same, its monotonic clock, too", skip = no_faketime, env = fake, quick = true,
  inject = function(t) turn(t, { "+1d", "-1h", "+0", "-1d" }) end,
}

row {
  name = "clock of PostgreSQL: the same", external = true, strict = true, skip = no_faketime,
  pg_env = fake, inject = function(t) turn(t, STEPS) end,
}

-- ---- running one ----

local function start(t)
  local r = t.row
  if r.external then
    local words = sh("%s tests/support/pg.sh start", r.pg_env and r.pg_env(t) or "")
    t.base = words:match("PGTEST_DIR=(%S+)")
    t.data, t.url = t.base .. "/data", words:match("DATABASE_URL=(%S+)")
  end
  if r.prepare then r.prepare(t) end
  t.env = (type(r.env) == "function" and r.env(t) or r.env or "") .. (t.url and string.format(" DATABASE_URL='%s'", t.engine_url or t.url) or "")
  t.e = engine.start { dir = t.dir, sets = r.sets, env = t.env, flags = r.flags }
  t.data = t.data or t.dir .. "/pg/data"
  t.url = t.url or engine.read(t.dir .. "/database.url"):gsub("%s+$", "")
  t.sql = function(query)
    return sh("psql -X -q -A -t -v ON_ERROR_STOP=1 %q -c %q", t.url, query)
  end
  if r.started then r.started(t) end
end

local function check(r, result)
  local others = 0
  for code, n in pairs(result.codes) do others = others + (code == 200 and 0 or n) end
  result.problems = ledger.faults(result)
  if r.strict and others > 0 then table.insert(result.problems, others .. " were not answered 200") end
end

local function go(t, result)
  local r = t.row
  if not t.e then start(t) end
  t.run = ledger.start(t.e, r.clients or { read = 1 })
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
  check(r, result)
  if not t.shared then t.e:stop { "" } end
end

-- What an operator would look at.
local function scene(t)
  local ok, words = pcall(function()
    return t.sql("SELECT pid, backend_type, state, wait_event_type, wait_event, now() - state_change, left(query, 90) FROM pg_stat_activity")
      .. "\n" .. tostring(select(4, t.e:get "/health")) .. "\n" .. sh("tail -8 %s", t.e.log)
  end)
  return (ok and "" or "no scene: ") .. tostring(words)
end

local function clean(t)
  if t.frozen then kill("CONT", t.frozen) end
  if t.run and t.run.dir then os.execute("kill $(cat " .. t.run.dir .. "/pids 2>/dev/null) 2>/dev/null") end
  t.run = nil
  if t.shared then return end
  if t.e and t.e:alive() then
    t.e:kill "CONT"
    t.e:kill "TERM"
    pcall(engine.wait, "its end", 20, function() return not t.e:alive() end)
    if t.e:alive() then t.e:kill "KILL" end
  end
  if t.row.clean then t.row.clean(t) end
  if t.base then engine.run("tests/support/pg.sh stop " .. t.base) end
  for _, path in ipairs(t.disks or {}) do engine.run("umount " .. path .. " || umount -l " .. path) end
  if not os.getenv("KEEP") then os.execute("rm -rf " .. t.dir .. " " .. t.dir .. "-*") end
end

local function new(r) return { row = r, dir = engine.tmpdir(MEMORY) } end

--- Whether a row can run on an engine that others use, too.
function M.shareable(r) return not (r.sets or r.env or r.flags or r.external or r.prepare or r.started) end

--- An engine for several rows.
function M.session()
  local t = new {}
  start(t)
  t.shared = true
  return t
end

function M.close(t)
  t.shared = false
  local ok, err = pcall(t.e.stop, t.e, { "" })
  clean(t)
  assert(ok, err)
end

--- Runs a row, on an engine of its own or that of a session: result of the ledger with `problems`, empty if all was well.
function M.run(r, session)
  local t = session or new(r)
  local result = { problems = {}, codes = {}, t = t }
  t.row = r
  local ok, err = xpcall(go, debug.traceback, t, result)
  result.run = t.run
  if not ok then result.problems = { tostring(err), scene(t), os.getenv("KEEP") and "kept: " .. t.dir or nil } end
  pcall(clean, t)
  return result
end

return M
