--- Clients with a ledger against a real engine: what was acknowledged is compared with what is stored.
---
---   local ledger = require "tests.support.ledger"
---   local run = ledger.start(e, { single = 4, batch = 1, ndjson = 1 })
---   run:await(50)                       -- acknowledged so far
---   run:mark()                          -- now everything is well again: from here on it must go on
---   run:resumed(15)                     -- milliseconds until one is acknowledged that was sent after the mark
---   local r = run:finish(sql)           -- acknowledged, stored, doubled, lost, foreign, codes, resume_ms, gap_ms
---   ledger.faults(r)                    -- list of what must not be, empty if all is well

local engine = require "tests.support.engine"
local socket = require "socket"

local M = {}
local Run = {}
Run.__index = Run

local MODES = { "single", "batch", "ndjson", "read" }
local READ = "0x0"              -- of answers to those who only look
local runs = 0

--- opts: single, batch, ndjson, read (numbers of clients), seconds (at most), pause_ms (between two requests of a client)
function M.start(e, opts)
  opts = opts or {}
  local run = setmetatable({ e = e, dir = engine.tmpdir(), ledgers = {}, from = socket.gettime() }, Run)
  runs = runs + 1
  local seed = math.floor(socket.gettime() * 1000) % 100000000 * 1000 + runs * 20 % 1000
  for _, mode in ipairs(MODES) do
    for _ = 1, opts[mode] or (mode == "single" and 3 or 1) do
      local n = #run.ledgers + 1
      run.ledgers[n] = run.dir .. "/" .. n
      os.execute(string.format("luajit tests/support/ledger_client.lua %s/engine.pid %s %s %g %d %s %g & echo $! >>%s/pids",
        e.dir, e.key, run.ledgers[n], opts.seconds or 300, seed + n, mode, opts.pause_ms or 4, run.dir))
    end
  end
  return run
end

-- All entries so far, in order of the answers: hash, status (a number, or "none"), sent, answered, id, client.
function Run:entries()
  local list = {}
  for client, path in ipairs(self.ledgers) do
    for hash, status, sent, answered, id in (engine.read(path) or ""):gmatch("(0x%x+) (%S+) (%S+) (%S+) (%S+)\n") do
      list[#list + 1] = { hash = hash, status = tonumber(status) or status, sent = tonumber(sent),
        answered = tonumber(answered), id = tonumber(id), client = client }
    end
  end
  table.sort(list, function(a, b) return a.answered < b.answered end)
  return list
end

function Run:acknowledged()
  local n = 0
  for _, entry in ipairs(self:entries()) do n = n + (entry.status == 200 and entry.hash ~= READ and 1 or 0) end
  return n
end

function Run:await(n, seconds)
  local from = self:acknowledged()
  engine.wait(n .. " more to be acknowledged", seconds or 20, function() return self:acknowledged() >= from + n end)
end

function Run:mark() self.marked = socket.gettime() end

local function first_after(entries, at, client)
  for _, entry in ipairs(entries) do
    if entry.status == 200 and entry.hash ~= READ and entry.sent > at and (not client or entry.client == client) then return entry.answered end
  end
end

--- Every client has been acknowledged something that it sent after the mark; what it sent before may wait for its time-out.
function Run:resumed(seconds)
  self.resume_ms = engine.wait("writes to go on by themselves", seconds or 15, function()
    local at = first_after(self:entries(), self.marked)
    return at and math.floor((at - self.marked) * 1000)
  end)
  return self.resume_ms
end

function Run:stop()
  for _, path in ipairs(self.ledgers) do engine.write(path .. ".stop", "") end
  engine.wait("the clients to stop", 60, function()
    for pid in (engine.read(self.dir .. "/pids") or ""):gmatch("%d+") do
      local stat = engine.read("/proc/" .. pid .. "/stat")
      if stat and not stat:find(") Z", 1, true) then return false end
    end
    return true
  end)
end

-- The longest time without anything acknowledged, from `since` on.
local function longest_gap(entries, since)
  local last, gap = since, 0
  for _, entry in ipairs(entries) do
    if entry.status == 200 and entry.hash ~= READ and entry.answered > since then
      gap = math.max(gap, entry.answered - last)
      last = entry.answered
    end
  end
  return math.floor(gap * 1000)
end

local STORED = [[SELECT encode(t.hash, 'hex'), t.id, (SELECT count(*) FROM predictions p WHERE p.transaction_id = t.id)
  FROM transactions t]]

--- Stops the clients and compares. `sql` runs a query and gives its text, one line a row, columns separated by |.
function Run:finish(sql)
  self:stop()
  local r = { acknowledged = 0, stored = 0, doubled = 0, lost = 0, foreign = 0, codes = {}, looks = {}, entries = self:entries(),
    resume_ms = self.resume_ms, after = {} }
  local known, seen = {}, {}
  for hash, id, predictions in sql(STORED):gmatch("(%x+)|(%d+)|(%d+)") do
    hash = "0x" .. hash
    r.stored = r.stored + 1
    if known[hash] or predictions ~= "1" then r.doubled = r.doubled + 1 end
    known[hash] = tonumber(id)
  end
  for _, entry in ipairs(r.entries) do
    local codes = entry.hash == READ and r.looks or r.codes
    codes[entry.status] = (codes[entry.status] or 0) + 1
    if entry.status == 200 and entry.hash ~= READ then
      if not seen[entry.hash] then r.acknowledged = r.acknowledged + 1 end
      seen[entry.hash] = true
      if not known[entry.hash] then r.lost = r.lost + 1
      elseif known[entry.hash] ~= entry.id then r.foreign = r.foreign + 1 end
    end
  end
  for client = 1, #self.ledgers do r.after[client] = not self.marked or first_after(r.entries, self.marked, client) ~= nil end
  r.gap_ms = longest_gap(r.entries, self.from)
  r.twice = tonumber(sql("SELECT count(*) FROM (SELECT 1 FROM transactions GROUP BY chain_id, hash HAVING count(*) > 1) x"))
  r.evidence = tonumber(sql([[SELECT count(*) FROM (SELECT 1 FROM anomaly_evidence
    GROUP BY anomaly_id, transaction_id HAVING count(*) > 1) x]]))
  os.execute("rm -rf " .. self.dir)
  return r
end

--- What must not be.
function M.faults(r)
  local list = {}
  local function must(ok, text, ...) if not ok then list[#list + 1] = text:format(...) end end
  must(r.acknowledged >= 20, "only %d were acknowledged", r.acknowledged)
  must(r.lost == 0, "%d acknowledged are not stored", r.lost)
  must(r.doubled == 0, "%d stored have not exactly one prediction", r.doubled)
  must(r.twice == 0, "%d hashes are stored twice", r.twice)
  must(r.evidence == 0, "%d transactions are evidence of an alert twice", r.evidence)
  must(r.foreign == 0, "%d were acknowledged under another id than they are stored", r.foreign)
  for _, codes in ipairs { r.codes, r.looks } do
    for code, n in pairs(codes) do
      must(code == 200 or code == 503 or code == 507 or code == "none", "%d were answered %s", n, tostring(code))
    end
  end
  return list
end

--- "none" last: no answer at all.
function M.codes(r)
  local names = {}
  for code in pairs(r.codes) do names[#names + 1] = tostring(code) end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = name .. " " .. r.codes[tonumber(name) or name] end
  return table.concat(names, ", ")
end

return M
