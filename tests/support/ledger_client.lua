-- A client that keeps a ledger: posts transactions one after another over keep-alive connections, notes each hash with
-- the answer it got ("200", another status, or "none"), goes on when the server goes away. Used by the fault suites:
--   luajit tests/support/ledger_client.lua PORT_FILE KEY LEDGER SECONDS SEED
package.path = "./?.lua;" .. package.path
local socket = require "socket"
local port_file, key, ledger, seconds, seed = arg[1], arg[2], arg[3], tonumber(arg[4]), tonumber(arg[5])

local function port()
  local f = io.open(port_file)
  local text = f and f:read("*a") or ""
  if f then f:close() end
  return tonumber(text:match(":(%d+)\n"))
end

local function connect()
  local p = port()
  local c = p and socket.tcp()
  if not c then return nil end
  c:settimeout(20)
  if not c:connect("127.0.0.1", p) then return nil end
  return c
end

local function body(n)
  return string.format('{"hash":"0x%016x%048x","blockNumber":%d,"timestamp":%d,"from":"0x%040x","to":"0x%040x",'
    .. '"value":"%d000000000000000","gas":21000,"gasPrice":"20000000000","nonce":%d}', seed, n, 22000000 + n,
    1770000000 + n, 1 + n % 50, 1000 + n % 70, n, n)
end

local function post(c, text)
  local request = "POST /api/v1/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. key
    .. "\r\nContent-Type: application/json\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text
  if not c:send(request) then return nil end
  local line = c:receive("*l")
  local status = line and tonumber(line:match("^HTTP/1.1 (%d+)"))
  if not status then return nil end
  local length, close = 0, false
  while true do
    line = c:receive("*l")
    if not line then return nil end
    if line == "" then break end
    length = tonumber(line:lower():match("^content%-length: (%d+)")) or length
    close = close or line:lower() == "connection: close"
  end
  if length > 0 and not c:receive(length) then return nil end
  return status, close
end

local out = io.open(ledger, "w")
out:setvbuf("line")
local till, n, c = socket.gettime() + seconds, 0, nil
while socket.gettime() < till do
  c = c or connect()
  if c then
    n = n + 1
    local text = body(n)
    local status, close = post(c, text)
    out:write(text:match('"hash":"(0x%x+)"'), " ", status or "none", "\n")
    if not status or close then
      c:close()
      c = nil
    end
  else
    socket.sleep(0.02)
  end
end
out:close()
