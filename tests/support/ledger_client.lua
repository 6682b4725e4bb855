-- A client that keeps a ledger: posts transactions one after another over keep-alive connections and notes each with what
-- it was told; goes on when the server goes away, and sends half of what failed again. One line for each answer:
--
--   HASH STATUS SENT ANSWERED ID       "200", another status, or "none" (the line broke); times in seconds; ID: transaction_id
--
--   luajit tests/support/ledger_client.lua PORT_FILE KEY LEDGER SECONDS SEED [MODE [PAUSE_MS]]
--
-- MODE: single, batch (20 in a JSON array), ndjson (a stream of 20 lines), or read (what people look at; HASH is 0x0). It ends after
-- SECONDS, or when LEDGER.stop is there.
package.path = "./?.lua;" .. package.path
local socket = require "socket"
local port_file, key, ledger, seconds, seed = arg[1], arg[2], arg[3], tonumber(arg[4]), tonumber(arg[5])
local mode, pause = arg[6] or "single", (tonumber(arg[7]) or 0) / 1000
local BATCH = 20
local PATIENCE = 45 * (tonumber(os.getenv("CHAINWATCH_TEST_SLOW")) or 1)   -- seconds: longer than the engine makes anybody wait

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
  c:settimeout(PATIENCE)
  if not c:connect("127.0.0.1", p) then
    c:close()
    return nil
  end
  return c
end

local function body(n)
  return string.format('{"hash":"0x%016x%048x","blockNumber":%d,"timestamp":%d,"from":"0x%040x","to":"0x%040x",'
    .. '"value":"%d000000000000000","gas":21000,"gasPrice":"20000000000","nonce":%d}', seed, n, 22000000 + n,
    1770000000 + n, 1 + n % 50, 1000 + n % 70, n, n)
end

local function read_body(c, fields)
  if fields["transfer-encoding"] ~= "chunked" then
    local length = tonumber(fields["content-length"] or 0)
    return length == 0 and "" or c:receive(length)
  end
  local parts = {}
  while true do
    local line = c:receive("*l")
    local size = line and tonumber(line:match("^%x+"), 16)
    if not size then return nil, table.concat(parts) end
    local part = c:receive(size + 2)
    if not part then return nil, table.concat(parts) end
    if size == 0 then return table.concat(parts) end
    parts[#parts + 1] = part:sub(1, size)
  end
end

-- status, whether the connection ends, text of the answer; nil and what came of the answer
local function post(c, path, kind, text, method)
  local request = (method or "POST") .. " " .. path .. " HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. key
    .. "\r\nContent-Type: " .. kind .. "\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text
  if not c:send(request) then return nil end
  local line = c:receive("*l")
  local status = line and tonumber(line:match("^HTTP/1.1 (%d+)"))
  if not status then return nil end
  local fields = {}
  while true do
    line = c:receive("*l")
    if not line then return nil end
    if line == "" then break end
    local name, value = line:lower():match("^([^:]+): (.*)$")
    if name then fields[name] = value end
  end
  local answer, partial = read_body(c, fields)
  if not answer then return nil, status == 200 and partial or nil end
  return status, fields.connection == "close", answer
end

local out = assert(io.open(ledger, "w"))
out:setvbuf("line")
local function note(text, status, sent, id)
  out:write(text:match('"hash":"(0x%x+)"'), " ", status or "none", " ",
    string.format("%.4f %.4f %s\n", sent, socket.gettime(), id or "-"))
end

-- Acknowledged are those that the answer names, each on its own: a stream may break in the middle.
local function ids_of(answer)
  local ids = {}
  for hash, id in (answer or ""):gmatch('"hash":"(0x%x+)","chainId":"%d+","transaction_id":(%d+)') do ids[hash] = id end
  return ids
end

local READ = { "/health", "/health/ready", "/api/v1/anomalies?limit=5", "/api/v1/transactions?limit=5", "/api/v1/rules", "/metrics" }
local looked = 0

local function look(c)
  local sent = socket.gettime()
  looked = looked + 1
  local status, close = post(c, READ[looked % #READ + 1], "text/plain", "", "GET")
  note('"hash":"0x0"', status, sent)
  return status ~= nil and not close, true
end

local function send(c, texts)
  if mode == "read" then return look(c) end
  local sent = socket.gettime()
  local status, close, answer
  if mode == "single" then
    status, close, answer = post(c, "/api/v1/predict", "application/json", texts[1])
  elseif mode == "batch" then
    status, close, answer = post(c, "/api/v1/predict/batch", "application/json",
      '{"transactions":[' .. table.concat(texts, ",") .. "]}")
  else
    status, close, answer = post(c, "/api/v1/predict/batch", "application/x-ndjson", table.concat(texts, "\n") .. "\n")
  end
  if not status then answer = close end
  local ids = ids_of((status == 200 or mode == "ndjson") and answer)
  for _, text in ipairs(texts) do
    local id = ids[text:match('"hash":"(0x%x+)"')]
    local said = status
    if id then said = 200 elseif status == 200 then
      -- a line of a stream that says why not; a verdict of 200 that names nobody would be a fault of the engine
      said = mode == "ndjson" and tonumber(answer:match('"status":(%d+)')) or 0
    end
    note(text, said, sent, id)
  end
  return status ~= nil and not close, status == 200
end

local function stopped()
  local f = io.open(ledger .. ".stop")
  if f then f:close() end
  return f ~= nil
end

local till, n, c, failed = socket.gettime() + seconds, 0, nil, {}
while socket.gettime() < till and not stopped() do
  c = c or connect()
  if c then
    local texts = #failed > 0 and n % 2 == 0 and table.remove(failed, 1)
    if not texts then
      texts = {}
      for i = 1, mode == "single" and 1 or BATCH do
        n = n + 1
        texts[i] = body(n)
      end
    else
      n = n + 1              -- a gap in the numbers: so that failures alone do not come again and again
    end
    local keep, ok = send(c, texts)
    if not ok and #failed < 50 then failed[#failed + 1] = texts end
    if not keep then
      c:close()
      c = nil
    end
    if pause > 0 or not ok then socket.sleep(ok and pause or 0.02) end
  else
    socket.sleep(0.02)
  end
end
out:close()
