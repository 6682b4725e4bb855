-- Posts transactions at a fixed rate until it is told to stop (a file appears), and writes a ledger: hash, status, latency in
-- microseconds from the moment at which the request was due, so that a stall counts for everyone who would have come in it.
--   luajit tests/soak/client.lua PORT KEY LEDGER STOP_FILE RATE SEED
package.path = "./?.lua;" .. package.path
local socket = require "socket"
local port, key, ledger, stop, rate, seed = tonumber(arg[1]), arg[2], arg[3], arg[4], tonumber(arg[5]), tonumber(arg[6])

local PATIENCE = 40 * (tonumber(os.getenv("CHAINWATCH_TEST_SLOW")) or 1)   -- seconds: longer than the engine makes anybody wait
local function connect()
  local c = socket.tcp()
  c:settimeout(PATIENCE)
  c:setoption("tcp-nodelay", true)
  return c:connect("127.0.0.1", port) and c or nil
end

local function body(n)
  return string.format('{"hash":"0x%016x%048x","blockNumber":%d,"timestamp":%d,"from":"0x%040x","to":"0x%040x",'
    .. '"value":"%d000000000000000","gas":21000,"gasPrice":"20000000000","nonce":%d}', seed, n, 22000000 + n,
    1770000000 + n, 1 + n % 50, 1000 + n % 70, n % 90, n)
end

local function post(c, text)
  if not c:send("POST /api/v1/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. key .. "\r\nContent-Type: application/json\r\n"
      .. "Content-Length: " .. #text .. "\r\n\r\n" .. text) then return nil end
  local line = c:receive("*l")
  local status, length = line and tonumber(line:match("^HTTP/1.1 (%d+)")), 0
  if not status then return nil end
  while true do
    line = c:receive("*l")
    if not line then return nil end
    if line == "" then break end
    length = tonumber(line:lower():match("^content%-length: (%d+)")) or length
  end
  if length > 0 and not c:receive(length) then return nil end
  return status
end

local function stopped()
  local f = io.open(stop)
  if f then f:close() end
  return f ~= nil
end

local out = assert(io.open(ledger, "w"))
local c, n, from = assert(connect()), 0, socket.gettime()
while n % 25 ~= 0 or not stopped() do
  local due = from + n / rate
  local now = socket.gettime()
  if now < due then socket.sleep(due - now) end
  n = n + 1
  local text = body(n)
  local status = post(c, text)
  out:write(text:match('"hash":"(0x%x+)"'), " ", status or "none", " ", math.floor((socket.gettime() - due) * 1e6), "\n")
  if not status then c = assert(connect()) end
end
out:close()
