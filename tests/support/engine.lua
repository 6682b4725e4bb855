--- A real engine with its own PostgreSQL, on a free port, for scenarios.
---
---   local engine = require "tests.support.engine"
---   local e = engine.start { sets = { "rules.dir=..." } }
---   local status, body, headers = e:post("/api/v1/predict", tx)
---   e:stop()          -- asserts: exit 0, no unexpected error line in the log

local socket = require "socket"
local cjson = require "cjson"

local M = {}
local Engine = {}
Engine.__index = Engine

local function run(command)
  local pipe = assert(io.popen(command .. " 2>&1; echo $?"))
  local text = pipe:read("*a")
  pipe:close()
  local code = tonumber(text:match("(%d+)\n$"))
  return code, (text:gsub("%d+\n$", ""))
end
M.run = run

function M.read(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read("*a")
  f:close()
  return text
end

function M.write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

--- How much slower than usual everything is, under a sanitizer: limits of time are multiplied by it.
M.slow = tonumber(os.getenv("CHAINWATCH_TEST_SLOW") or "1")

--- Calls fn until it returns something true; fails after `seconds` on a machine of its own: others share this one, so it
--- waits three times as long. How fast things are is asserted elsewhere.
function M.wait(what, seconds, fn)
  local till = socket.gettime() + seconds * 3 * M.slow
  repeat
    local result = fn()
    if result then return result end
    socket.sleep(0.02)
  until socket.gettime() > till
  error("waited " .. seconds .. " s in vain for " .. what, 2)
end

M.bin = os.getenv("CHAINWATCH_BIN") or "build/chainwatch"

function M.tmpdir(base)
  local _, dir = run("mktemp -d " .. (base or "/tmp") .. "/cw-test-XXXXXX")
  dir = dir:gsub("%s+$", "")
  os.execute("chmod 755 " .. dir)
  return dir
end

--- opts: dir (kept from an earlier start), sets, env, flags (further options), bin, wait = false (do not wait until it is ready)
function M.start(opts)
  opts = opts or {}
  local e = setmetatable({ dir = opts.dir or M.tmpdir(), owns = not opts.dir }, Engine)
  local sets = {}
  if M.slow > 1 then               -- clocks that watch rules would take slow for stuck; what a test sets comes after
    for name, ms in pairs { ["rules.wall_ms"] = 50, ["rules.hang_ms"] = 500, ["rules.load_ms"] = 30000, ["http.reply_ms"] = 35000 } do
      sets[#sets + 1] = "--set " .. name .. "=" .. ms * M.slow
    end
  end
  for _, s in ipairs(opts.sets or {}) do sets[#sets + 1] = "--set '" .. s .. "'" end
  e.log = e.dir .. "/engine.log"
  local command = string.format(
    "%s setsid %s serve --listen 127.0.0.1:0 --data-dir %s %s %s >>%s 2>&1 & echo $! >%s/launcher.pid",
    opts.env or "", opts.bin or M.bin, e.dir, table.concat(sets, " "), opts.flags or "", e.log, e.dir)
  os.remove(e.dir .. "/engine.pid")
  os.execute(command)
  e.pid = tonumber(M.read(e.dir .. "/launcher.pid"))
  if opts.wait == false then return e end
  M.wait("the engine to be ready\n" .. (M.read(e.log) or ""), 60, function()
    if not e:alive() then error("the engine did not start:\n" .. (M.read(e.log) or ""), 0) end
    local text = M.read(e.dir .. "/engine.pid") or ""
    local port = text:match("\n127%.0%.0%.1:(%d+)\n")
    if not port then return false end
    e.port = tonumber(port)
    return true
  end)
  e.key = M.read(e.dir .. "/admin.key"):gsub("%s+$", "")
  return e
end

function Engine:alive()
  local stat = M.read("/proc/" .. self.pid .. "/stat")
  return stat ~= nil and not stat:match("%) Z")
end

function Engine:kill(signal)
  os.execute("kill -" .. signal .. " " .. self.pid .. " 2>/dev/null")
end

-- What must never be in a log: every password, key and token that a test sends or gets. Looked for when engines stop.
local SECRET_FIELDS = { "password", "new_password", "current_password", "access_token", "refresh_token", "key", "invitation" }
local function note_secrets(e, body)
  if type(body) ~= "table" then return end
  e.secrets = e.secrets or {}
  for _, field in ipairs(SECRET_FIELDS) do
    local value = body[field]
    if type(value) == "string" and #value >= 12 then e.secrets[value] = true end
  end
end

function Engine:leaks()
  local log, found = M.read(self.log) or "", {}
  local secrets = { [self.key or ""] = true }
  for secret in pairs(self.secrets or {}) do secrets[secret] = true end
  for line in ((M.read(self.dir .. "/token.keys") or "") .. (M.read(self.dir .. "/audit.key") or "")):gmatch("%S+") do
    if #line > 40 then secrets[line] = true end
  end
  for secret in pairs(secrets) do
    if secret ~= "" and log:find(secret, 1, true) then found[#found + 1] = "the log has the secret " .. secret end
  end
  return found
end

--- One request on a connection of its own. Body tables are sent as JSON; JSON answers are decoded.
function Engine:call(method, path, body, headers)
  local c = assert(socket.tcp())
  c:settimeout(30 * M.slow)
  assert(c:connect("127.0.0.1", self.port))
  note_secrets(self, body)
  if type(body) == "table" then body = cjson.encode(body) end
  local lines = { method .. " " .. path .. " HTTP/1.1", "Host: localhost", "Connection: close" }
  local given = headers or {}
  headers = {}                     -- ours: the caller may use his again
  for k, v in pairs(given) do headers[k] = v end
  if headers["X-API-Key"] == nil then headers["X-API-Key"] = self.key end
  if body and not headers["Content-Type"] then headers["Content-Type"] = "application/json" end
  if body then headers["Content-Length"] = tostring(#body) end
  for k, v in pairs(headers) do if v then lines[#lines + 1] = k .. ": " .. v end end
  c:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or ""))
  local text, err, partial = c:receive("*a")
  c:close()
  text = text or partial
  local status, answer, fields, raw = M.parse(text, err)
  note_secrets(self, answer)
  return status, answer, fields, raw
end

local function dechunk(text)
  local parts, at = {}, 1
  while true do
    local size, stop = text:match("^(%x+)[^\r\n]*\r\n()", at)
    if not size then return table.concat(parts) end
    size = tonumber(size, 16)
    if size == 0 then return table.concat(parts) end
    parts[#parts + 1] = text:sub(stop, stop + size - 1)
    at = stop + size + 2
  end
end

function M.parse(text, err)
  local status = tonumber(text:match("^HTTP/1%.1 (%d+)"))
  if not status then return nil, "no answer: " .. tostring(err) .. " " .. text:sub(1, 200) end
  local head, body = text:match("^(.-)\r\n\r\n(.*)$")
  local fields = {}
  for name, value in head:gmatch("\r\n([^:]+): ([^\r]*)") do fields[name:lower()] = value end
  if fields["transfer-encoding"] == "chunked" then body = dechunk(body) end
  if (fields["content-type"] or ""):find("^application/%w*%+?json") then
    local ok, value = pcall(cjson.decode, body)
    if ok then return status, value, fields, body end
  end
  return status, body, fields, body
end

function Engine:get(path, headers) return self:call("GET", path, nil, headers) end
function Engine:post(path, body, headers) return self:call("POST", path, body or "", headers) end

--- The answer of psql, one line a row, columns separated by |.
function Engine:sql(query)
  local url = M.read(self.dir .. "/database.url"):gsub("%s+$", "")
  local code, text = run(string.format("psql -X -q -A -t -v ON_ERROR_STOP=1 %q -c %q", url, query))
  assert(code == 0, text)
  return (text:gsub("%s+$", ""))
end

--- SIGTERM; waits for the end. `allow` is a list of patterns of error lines that are expected.
function Engine:stop(allow)
  self:kill("TERM")
  M.wait("the engine to stop", 20, function() return not self:alive() end)
  local bad = {}
  for line in (M.read(self.log) or ""):gmatch("[^\n]+") do
    local expected = not line:find("level=error", 1, true)
    for _, pattern in ipairs(allow or {}) do expected = expected or line:find(pattern) ~= nil end
    if not expected then bad[#bad + 1] = line end
  end
  -- What a sanitizer says in a locked-in evaluator ends here; what it says elsewhere, in tests/sanitize.sh.
  for line in (M.read(self.log) or ""):gmatch("[^\n]*Sanitizer[^\n]*") do bad[#bad + 1] = line end
  for _, leak in ipairs(self:leaks()) do bad[#bad + 1] = leak end
  self:remove()
  if #bad > 0 then error("unexpected lines in the log:\n" .. table.concat(bad, "\n"), 2) end
end

function Engine:remove()
  if self.owns and not os.getenv("KEEP") then os.execute("rm -rf " .. self.dir) end
end

--- A valid transaction; fields of `with` replace its own, false takes one away.
local counter = 0
function M.tx(with)
  counter = counter + 1
  local tx = {
    hash = string.format("0x%056x%08x", counter, math.floor(socket.gettime() * 1000) % 0x7fffffff),
    blockNumber = 21000000 + counter, timestamp = 1730000000 + 12 * counter,
    from = "0x00000000000000000000000000000000000000a1", to = "0x00000000000000000000000000000000000000b2",
    value = "1000000000000000000", gas = 21000, gasPrice = "20000000000", nonce = counter,
  }
  for k, v in pairs(with or {}) do tx[k] = v or nil end
  return tx
end

M.handle = setmetatable({}, Engine)

return M
