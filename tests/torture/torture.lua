--- Torture: every allocation, and every system call and libpq call of inject.c, fails once in turn, and only it.
---
---   luajit tests/torture/torture.lua [--bin PROGRAM] [--phases start,requests,...] [--every N] [--offset K]
---                                    [--again N] [--depth FRAMES] [--only PATTERN] [--kinds alloc,sys,pq] [--skip N]
---                                    [--verbose]
---
--- A first run counts which places a phase passes: a place is a call together with the chain of its callers. Then each
--- place fails once: nothing may crash, hang or leak, the answer is a good one, 503 or 507, the same request succeeds
--- right after it, and in the end every acknowledged transaction is there once. `--every N` takes one in N places, and
--- `--offset K` says which: the smoke that `make test` runs. Of places whose caller does not hear
--- of the refusal, since the engine's own allocator asks again, `--again N` takes each Nth (8 unless said). `--skip N` lets a
--- place fail when it is passed the N+1st time.
package.path = "./?.lua;" .. package.path

local engine = require "tests.support.engine"
local postgres = require "tests.support.postgres"
local page = require "tests.torture.page"
local requests = require "tests.torture.requests"
local work = require "tests.torture.work"
local socket = require "socket"

local M = {}
local KINDS = { alloc = page.ALLOC, sys = page.SYS, pq = page.PQ }
local KIND_NAMES = { [page.ALLOC] = "alloc", [page.SYS] = "sys", [page.PQ] = "pq" }
-- A client whose connection is hit hears nothing: these calls carry it.
local CARRIES = { accept4 = true, recv = true, send = true, epoll_ctl = true, epoll_wait = true, setsockopt = true,
  shutdown = true, read = true }
-- Functions that give the reserve back and ask again (base/mem.h): above them nothing differs.
local ASK_AGAIN = { cw_alloc = true, cw_zalloc = true, cw_realloc = true, allocate = true }
-- Where glibc 2.36 itself ends the process without memory.
local NOT_OURS = { "nss_database%.c" }
local EXITS = { [0] = true, [1] = true, [2] = true, [69] = true, [75] = true }

local Run = {}
Run.__index = Run

--- opts: bin, every, some_verbs (each Nth verb only), offset, depth, only, kinds (a sum), skip, verbose
function M.new(opts)
  local run = setmetatable({ opts = opts, bin = opts.bin or engine.bin, every = opts.every or 1, offset = opts.offset or 0,
    again = opts.again or 8, depth = opts.depth or 10, some_verbs = opts.some_verbs or 1, kinds = opts.kinds or 7,
    dir = engine.tmpdir(), wrong = {}, counts = {}, n = 0, tested = {} }, Run)
  run.page = page.new(run.dir .. "/page")
  run.inject = opts.inject or "build/inject.so"
  engine.run("mkdir " .. run.dir .. "/rules")
  engine.write(run.dir .. "/rules/torture_every.lua", requests.rule)
  run.pg = postgres.start()
  return run
end

function Run:close()
  self.pg:stop()
  if not os.getenv("KEEP") then os.execute("rm -rf " .. self.dir) end
end

local function sets(run)
  return { "rules.dir=" .. run.dir .. "/rules", "database.pool_size=4", "database.pool_overflow=2", "limits.login_rate=0",
    "limits.failed_rate=0", "auth.argon2_memory_kib=8192", "admin.allow_eval=true", "auth.lockout_after=1000" }
end

--- Starts PROGRAM args with the library, in the background: { pid =, dir =, log =, exit = function() code or nil }.
function Run:launch(args, name)
  self.n = self.n + 1
  local p = { dir = string.format("%s/%s%d", self.dir, name, self.n) }
  engine.run("mkdir -p " .. p.dir)
  p.log = p.dir .. "/log"
  local asan = "ASAN_OPTIONS=detect_leaks=1:exitcode=23:verify_asan_link_order=0:allocator_may_return_null=1:log_path=" .. p.dir
    .. "/asan LSAN_OPTIONS=suppressions=tests/torture/lsan.supp:print_suppressions=0 UBSAN_OPTIONS=print_stacktrace=1"
  os.execute(string.format("( %s %s LD_PRELOAD=$PWD/%s CW_TORTURE=%s setsid timeout -s KILL 7200 sh -c 'echo $$ >%s/pid; "
    .. "exec \"$0\" \"$@\"' %s %s >%s 2>%s </dev/null; echo $? >%s/exit.tmp; mv %s/exit.tmp %s/exit ) 2>/dev/null &", asan, self.env or "",
    self.inject, self.page.path, p.dir, self.bin, args, p.dir .. "/out", p.log, p.dir, p.dir, p.dir))
  function p.exit() return tonumber(engine.read(p.dir .. "/exit") or nil) end
  function p.kill(signal)
    local pid = engine.read(p.dir .. "/pid")
    if pid then os.execute("kill -" .. signal .. " " .. pid:gsub("%s+", "") .. " 2>/dev/null") end
  end
  return p
end

--- What the sanitizer wrote, and deaths that the engine speaks of.
function Run:trouble(p)
  local _, text = engine.run("cat " .. p.dir .. "/asan.* 2>/dev/null")
  if text:find("ERROR:") or text:find("runtime error") then
    return text:match("(ERROR:[^\n]*)") or text:match("([^\n]*runtime error[^\n]*)"), text
  end
  local log = engine.read(p.log) or ""
  return log:match("[^\n]*bug:[^\n]*") or log:match('[^\n]*msg="out of memory[^\n]*')
    or log:match("[^\n]*evaluator died[^\n]*signal 1?[14678][^%d][^\n]*") or log:match("[^\n]*runtime error[^\n]*")
end

local function wait(seconds, fn)
  local till = socket.gettime() + seconds
  repeat
    local result = fn()
    if result then return result end
    socket.sleep(0.01)
  until socket.gettime() > till
end

function Run:serve(url, dir, flags)
  local words = {}
  for _, s in ipairs(sets(self)) do words[#words + 1] = "--set " .. s end
  return self:launch(string.format("serve --listen 127.0.0.1:0 --data-dir %s %s %s %s", dir,
    url and ("--set database.url=" .. string.format("%q", url)) or "", table.concat(words, " "), flags or ""), "serve")
end

--- An engine to call once `p` listens, nil if it ended before.
function Run:ready(p, dir, seconds)
  local port
  wait(seconds or 90, function()
    port = tonumber((engine.read(dir .. "/engine.pid") or ""):match("\n127%.0%.0%.1:(%d+)\n"))
    return port or p.exit()
  end)
  if not port or p.exit() then return nil end
  local e = setmetatable({ port = port, dir = dir, pid = tonumber(engine.read(p.dir .. "/pid")), log = p.log }, getmetatable(engine.handle))
  e.key = (engine.read(dir .. "/admin.key") or ""):gsub("%s+$", "")
  return e
end

function Run:asks_again(place)
  self.askers = self.askers or {}
  local where = tostring(place.stack[1])
  if place.kind == page.ALLOC and self.askers[where] == nil then
    self.askers[where] = ASK_AGAIN[self.page:caller(place, self.bin)] or false
  end
  return place.kind == page.ALLOC and self.askers[where]
end

--- The places that are to fail, of all that were counted.
function Run:choose(phase)
  local list, of = {}, self.counts[phase] or {}
  self.counts[phase] = of
  of.points = (of.points or 0) + tonumber(self.page.at.passed)
  for _, place in ipairs(self.page:places()) do
    local name, every = KIND_NAMES[place.kind], self.every
    if not self.tested[phase .. place.id] then
      self.tested[phase .. place.id] = true
      if self:asks_again(place) then name, every = "again", every * self.again end
      of[name] = (of[name] or 0) + 1
      local only = self.opts.only
      if only and (place.name:find(only) or place.id == only)
        or not only and tonumber(place.hash % every) == self.offset % every then
        list[#list + 1] = place
      end
    end
  end
  return list
end

function Run:complain(phase, what, place, words, p)
  local stack = place and self.page:describe(place, self.bin) or ""
  local text = string.format("%s: %s: %s\n    %s %s", phase, what, words, place and place.id or "", stack)
  for _, pattern in ipairs(NOT_OURS) do if stack:find(pattern) then return self:tell("not ours: " .. text) end end
  self.wrong[#self.wrong + 1] = text
  self.counts[phase].wrong = (self.counts[phase].wrong or 0) + 1
  io.stdout:write("# ", text, p and ("\n    see " .. p.dir) or "", "\n")
  io.stdout:flush()
end

function Run:tell(...)
  if self.opts.verbose then
    print(...)
    io.stdout:flush()
  end
end

--- Ends an engine that is up; its exit must be clean.
function Run:finish(phase, what, place, p)
  p.kill("TERM")
  if not wait(60, p.exit) then
    p.kill("ABRT")
    self:complain(phase, what, place, "did not stop within 60 s", p)
    return
  end
  local trouble, text = self:trouble(p)
  if p.exit() ~= 0 or trouble then
    self:complain(phase, what, place, "ended with " .. p.exit() .. ": "
      .. (trouble or (engine.read(p.log) or ""):match("([^\n]*)\n?$") or ""), p)
    if text then io.stdout:write(text:sub(1, 4000), "\n") end
  end
end

-- --- phases ---

--- One start after the other; `private`: with a PostgreSQL of its own.
function Run:start(private)
  local phase = private and "start, private database" or "start"
  local url = not private and self.pg:database("start") or nil
  local dir = self.dir .. "/data-start" .. (private and "-private" or "")
  local function begin() return self:serve(url, dir) end
  local function once(place)
    os.remove(dir .. "/engine.pid")
    local p = begin()
    local e = self:ready(p, dir)
    local fired = self.page:off()
    if e then
      local status = e:get("/health")
      if status ~= 200 and not wait(15, function() return e:get("/health") == 200 end) then
        self:complain(phase, "after start", place, "/health answers " .. tostring(status), p)
      end
      status = e:post("/api/v1/predict", engine.tx())
      if status ~= 200 and not wait(15, function() return e:post("/api/v1/predict", engine.tx()) == 200 end) then
        self:complain(phase, "after start", place, "predict answers " .. tostring(status), p)
      end
      self:finish(phase, "after start", place, p)
    elseif not p.exit() then
      p.kill("ABRT")
      self:complain(phase, "start", place, "hangs", p)
      wait(20, p.exit)
    else
      local trouble, text = self:trouble(p)
      local words = (engine.read(p.log) or ""):match("([^\n]+)\n*$")
      if not EXITS[p.exit()] or p.exit() == 0 or trouble or not words then
        self:complain(phase, "start", place, "exit " .. p.exit() .. ": " .. (trouble or words or "without a word"), p)
        if text then io.stdout:write(text:sub(1, 4000), "\n") end
      end
      self:tell("  exit", p.exit(), words)
    end
    return fired
  end
  self.counts[phase] = {}
  once(nil)                     -- migrations, keys: not what is counted
  self.page:count(self.kinds, page.MAIN + page.CHILDREN, self.depth)
  once(nil)
  for i, place in ipairs(self:choose(phase)) do
    self:tell(i, place.id, place.name)
    self.page:fail(place, page.MAIN + page.CHILDREN, self.depth, self.opts.skip)
    if once(place) then self.counts[phase].failed = (self.counts[phase].failed or 0) + 1 end
  end
end

local function expected(status, list)
  for _, s in ipairs(list) do if s == status then return true end end
  return false
end

local function call(request, t)
  local ok, status, body, headers = pcall(request[2], t)
  if ok then return status, body, headers end
  return nil, status
end

--- The same request succeeds again, at the latest after 15 seconds.
function Run:served(t, request)
  local status
  return wait(15, function()
    status = call(request, t)
    return expected(status, request[3]) or not t.e:alive()
  end) and t.e:alive(), status
end

function Run:one(t, phase, request, place, roles)
  self.page:fail(place, roles, self.depth, self.opts.skip)
  local status, body, headers = call(request, t)
  if self.page:off() then self.counts[phase].failed = (self.counts[phase].failed or 0) + 1 end
  self:tell(request[1], place.id, place.name, status)
  if not expected(status, request[3]) and status ~= 503 and status ~= 507
    and not (status == nil and (CARRIES[place.name] or phase == "tls" and place.name == "write")) then
    self:complain(phase, request[1], place, "answered " .. tostring(status) .. " "
      .. tostring(type(body) == "table" and body.detail or body or ""))
  end
  if status == 503 and headers and not headers["retry-after"] then
    self:complain(phase, request[1], place, "503 without Retry-After")
  end
  local fine, last = self:served(t, request)
  if not fine then self:complain(phase, request[1], place, "then answers " .. tostring(last), t.p) end
  return t.e:alive()
end

local function descriptors(pid)
  local _, text = engine.run("ls /proc/" .. pid .. "/fd | wc -l")
  return tonumber(text)
end

function Run:ledger(phase, url, acked)
  local path = self.dir .. "/acked.sql"
  local lines = {}
  for _, hash in ipairs(acked) do lines[#lines + 1] = "('\\x" .. hash:sub(3) .. "')" end
  if #lines == 0 then return end
  engine.write(path, "CREATE TEMP TABLE acked (hash bytea); INSERT INTO acked VALUES " .. table.concat(lines, ",")
    .. ";\nSELECT count(*) FILTER (WHERE n <> 1) FROM (SELECT a.hash, count(t.id) AS n FROM (SELECT DISTINCT hash FROM acked) a "
    .. "LEFT JOIN transactions t ON t.hash = a.hash AND t.canonical GROUP BY a.hash) x;\nSELECT count(*) FROM (SELECT 1 FROM predictions GROUP "
    .. "BY transaction_id, model_version_id HAVING count(*) > 1) y;\n")
  local code, words = engine.run(string.format("psql -X -q -A -t -v ON_ERROR_STOP=1 -d %q -f %s", url, path))
  local lost, doubled = words:match("^(%d+)\n(%d+)")
  if code ~= 0 or lost ~= "0" or doubled ~= "0" then
    self:complain(phase, "ledger", nil, string.format("of %d acknowledged: %s", #acked, words))
  end
end

--- One engine; each request's places fail one after the other. `roles`: in whom. `flags` of the engine; `settle` before the end.
function Run:requests(phase, roles, list, flags, settle)
  local url, dir = self.pg:database("requests"), self.dir .. "/data-" .. phase
  local t = { acked = {}, ids = {}, seed = tostring(os.time() % 1e6) }
  self.counts[phase] = {}
  local function up()
    os.remove(dir .. "/engine.pid")
    t.p = self:serve(url, dir, flags)
    t.e = assert(self:ready(t.p, dir), "the engine does not start: see " .. t.p.log)
    for _ = 1, phase ~= "tls" and 4 or 0 do t.e:post("/api/v1/predict", engine.tx()) end
  end
  up()
  local before
  for _, request in ipairs(list) do
    if not self.opts.request or request[1] == self.opts.request then
      if not t.e:alive() then up() end
      call(request, t)                              -- prepared statements, caches: not what is counted
      local status, body = call(request, t)
      if not expected(status, request[3]) then
        self:complain(phase, request[1], nil, "answers " .. tostring(status) .. " without a fault: "
          .. tostring(type(body) == "table" and body.detail or body))
      end
      before = before or descriptors(t.e.pid)
      self.page:count(self.kinds, roles, self.depth)
      call(request, t)
      call(request, t)
      self.page:off()
      for _, place in ipairs(self:choose(phase)) do
        if not self:one(t, phase, request, place, roles) then
          local trouble, text = self:trouble(t.p)
          self:complain(phase, request[1], place, "the engine ended: " .. tostring(t.p.exit()) .. " " .. (trouble or ""), t.p)
          if text then io.stdout:write(text:sub(1, 4000), "\n") end
          up()
          before = nil
        end
      end
    end
  end
  if settle then settle(t) end
  local after = descriptors(t.e.pid)
  if before and after > before + 8 then   -- the pool may have grown
    self:complain(phase, "descriptors", nil, string.format("%d before, %d after", before, after), t.p)
  end
  self:finish(phase, "at the end", nil, t.p)
  self:ledger(phase, url, t.acked)
end

--- SIGTERM: the last checkpoint is written, everything is taken down.
function Run:stop()
  local phase = "stop"
  local url, dir = self.pg:database("stop"), self.dir .. "/data-stop"
  self.counts[phase] = {}
  local function up()
    os.remove(dir .. "/engine.pid")
    local p = self:serve(url, dir)
    local e = assert(self:ready(p, dir), "the engine does not start: see " .. p.log)
    for _ = 1, 3 do e:post("/api/v1/predict", engine.tx()) end
    return p
  end
  local p = up()
  self.page:count(self.kinds, page.MAIN + page.CHILDREN, self.depth)
  self:finish(phase, "without a fault", nil, p)
  self.page:off()
  for i, place in ipairs(self:choose(phase)) do
    p = up()
    self:tell(i, place.id, place.name)
    self.page:fail(place, page.MAIN + page.CHILDREN, self.depth, self.opts.skip)
    self:finish(phase, "stop", place, p)
    if self.page:off() then self.counts[phase].failed = (self.counts[phase].failed or 0) + 1 end
  end
end

--- Verbs of the command line: exit status of the table and a word on stderr, or as without a fault.
function Run:verbs()
  local phase = "verbs"
  local url, dir = self.pg:database("verbs"), self.dir .. "/data-verbs"
  local cjson = require "cjson"
  self.counts[phase] = {}
  self.page:off()
  os.remove(dir .. "/engine.pid")
  local p = self:serve(url, dir)
  local e = assert(self:ready(p, dir), "the engine does not start: see " .. p.log)
  local txs = {}
  for i = 1, 50 do txs[i] = cjson.encode(engine.tx { hash = string.format("0x%064x", 7000000 + i) }) end
  engine.write(self.dir .. "/txs.ndjson", table.concat(txs, "\n") .. "\n")
  engine.write(self.dir .. "/labels.csv", "address,category,name\n0x00000000000000000000000000000000000000d5,mixer,m\n")
  self.env = string.format("CHAINWATCH_DATA_DIR=%s DATABASE_URL=%q", dir, url)
  local list = {
    { "version", "version" },
    { "check", "check --set rules.dir=" .. self.dir .. "/rules" },
    { "rules test", "rules test " .. self.dir .. "/rules/torture_every.lua" },
    { "rules list", "rules list" },
    { "ingest", "ingest --quiet " .. self.dir .. "/txs.ndjson" },
    { "reload", "reload" },
    { "migrate status", "migrate status" },
    { "user list", "user list" },
    { "audit verify", "audit verify" },
    { "labels import", "labels import --list torture " .. self.dir .. "/labels.csv" },
    { "labels export", "labels export torture -o " .. self.dir .. "/labels.out" },
    { "retention plan", "retention plan" },
    { "backup run", "backup run --logical" },
    { "backup list", "backup list" },
  }
  for i, verb in ipairs(list) do
    if self.opts.request and self.opts.request ~= verb[1] or (i + self.offset) % self.some_verbs ~= 0 then goto continue end
    local function once()
      local c = self:launch(verb[2], "verb")
      if not wait(60, c.exit) then
        c.kill("ABRT")
        wait(10, c.exit)
        return c, "hangs"
      end
      local words = ((engine.read(c.log) or "") .. (engine.read(c.dir .. "/out") or "")):match("([^\n]+)\n*$")
      return c, not EXITS[c.exit()] and "exit " .. c.exit() or self:trouble(c)
        or (c.exit() ~= 0 and not words and "exit " .. c.exit() .. " without a word") or nil, words
    end
    local first, wrong, words = once()
    if not wrong and first.exit() ~= 0 then wrong = "exit " .. first.exit() end
    if wrong then self:complain(phase, verb[1], nil, "without a fault: " .. wrong .. " " .. tostring(words)) end
    self.page:count(self.kinds, page.MAIN + page.CHILDREN, self.depth)
    once()
    self.page:off()
    for n, place in ipairs(self:choose(phase)) do
      self.page:fail(place, page.MAIN + page.CHILDREN, self.depth, self.opts.skip)
      local c
      c, wrong, words = once()
      if self.page:off() then self.counts[phase].failed = (self.counts[phase].failed or 0) + 1 end
      self:tell(n, verb[1], place.id, place.name, c.exit(), words)
      if wrong then self:complain(phase, verb[1], place, wrong .. ": " .. tostring(words), c) end
    end
    ::continue::
  end
  self.env = nil
  if e:get("/health") ~= 200 then self:complain(phase, "the engine", nil, "does not serve any more", p) end
  self:finish(phase, "the engine", nil, p)
end

local RELOADED = {}
for _, request in ipairs(requests.list) do
  if request[1]:find("^predict$") or request[1] == "batch" or request[1] == "reload" or request[1] == "lua"
    or request[1] == "explain" then RELOADED[#RELOADED + 1] = request end
end

local function at_work(run)
  local flags = work.prepare(run)
  local ok, why = xpcall(run.requests, debug.traceback, run, "work", page.MAIN, work.list, flags, work.settle)
  work.release(run)
  if not ok then error(why, 0) end
end

M.phases = {
  start = function(run) run:start(false) end,
  private = function(run) run:start(true) end,
  requests = function(run) run:requests("requests", page.MAIN, requests.list) end,
  evaluator = function(run) run:requests("evaluator", page.CHILDREN, RELOADED) end,
  work = at_work,
  tls = function(run) run:requests("tls", page.MAIN, work.tls, work.certificate(run)) end,
  stop = function(run) run:stop() end,
  verbs = function(run) run:verbs() end,
}
M.order = { "requests", "evaluator", "work", "tls", "verbs", "stop", "start", "private" }

function Run:report()
  print(string.format("%-26s %9s %7s %7s %7s %7s %7s %7s", "phase", "passed", "again", "alloc", "sys", "pq", "failed", "wrong"))
  local names = {}
  for name in pairs(self.counts) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local c = self.counts[name]
    print(string.format("%-26s %9d %7d %7d %7d %7d %7d %7d", name, c.points or 0, c.again or 0, c.alloc or 0, c.sys or 0, c.pq or 0,
      c.failed or 0, c.wrong or 0))
  end
end

--- Runs phases; returns what was wrong.
function M.run(opts, phases)
  local run = M.new(opts)
  local ok, why = xpcall(function()
    for _, name in ipairs(phases) do
      if not M.phases[name] then error("unknown phase \"" .. name .. "\"", 0) end
      M.phases[name](run)
    end
  end, debug.traceback)
  run.page:off()
  run:report()
  run:close()
  if not ok then error(why, 0) end
  return run.wrong
end

local function main()
  local opts, phases, i = {}, M.order, 1
  while i <= #arg do
    local name, value = arg[i]:match("^%-%-(%w+)$"), arg[i + 1]
    if name == "verbose" then
      opts.verbose = true
      i = i - 1
    elseif name == "phases" then
      phases = {}
      for phase in value:gmatch("[^,]+") do phases[#phases + 1] = phase end
    elseif name == "kinds" then
      opts.kinds = 0
      for kind in value:gmatch("[^,]+") do opts.kinds = opts.kinds + KINDS[kind] end
    elseif name == "every" or name == "offset" or name == "depth" or name == "skip"
      or name == "again" then
      opts[name] = tonumber(value)
    elseif name == "bin" or name == "only" or name == "request" then
      opts[name] = value
    else
      io.stderr:write("torture: unknown option \"" .. tostring(arg[i]) .. "\"\n")
      os.exit(2)
    end
    i = i + 2
  end
  os.exit(#M.run(opts, phases) == 0 and 0 or 1)
end

if arg and arg[0] and arg[0]:find("torture.lua$") then main() end
return M
