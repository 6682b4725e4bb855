--- What the rules find in real transactions: prepares the shared data, runs rule_quality over it, sums up.
--
--   luajit tests/bench/rule_quality.lua [--half even|odd|all] [--rules DIR] [FOLDER OF DATA]
--
-- Blocks and centres are split into two halves by a hash of block number or address: rules are tuned on the even half and
-- reported on the odd one. What a source does not give is filled in here and nowhere else, and only where a transaction
-- could not be read without it: times by interpolation between blocks whose time is known, gas limits by gas used, nonces
-- by 1,000,000 and up, so that no rule about young accounts fires on a guess; in neighbourhoods, where all transactions of
-- an account are there, by counting them.
local cjson = require "cjson"

local here = arg[0]:match "^(.*)/[^/]*$"
local runner = here .. "/../../build/bench/rule_quality"
local half, rules, folder = "odd", here .. "/../../rules", os.getenv "CHAINWATCH_TEST_DATA" or "../shared/data"
local at = 1
while arg[at] do
  if arg[at] == "--half" then half, at = arg[at + 1], at + 2
  elseif arg[at] == "--rules" then rules, at = arg[at + 1], at + 2
  else folder, at = arg[at], at + 1 end
end
local tmp = os.tmpname()
os.remove(tmp)
os.execute("mkdir -p " .. tmp .. "/lists")

-- --- reading and preparing ---

local function read(name)
  local rows, pipe = {}, io.popen("zcat " .. folder .. "/" .. name)
  for line in pipe:lines() do rows[#rows + 1] = cjson.decode(line) end
  pipe:close()
  if #rows == 0 then error("no rows in " .. folder .. "/" .. name) end
  return rows
end

local function given(x) return x ~= nil and x ~= cjson.null end

-- Times of blocks, for sources that leave them out: mainnet's from the rows that have them, and straight lines between.
local known = {}
local function learn(rows)
  for _, t in ipairs(rows) do
    if given(t.timestamp) then known[#known + 1] = { t.block_number, t.timestamp } end
  end
end
local function time_of(block)
  local lo, hi = 1, #known
  while hi - lo > 1 do
    local mid = math.floor((lo + hi) / 2)
    if known[mid][1] <= block then lo = mid else hi = mid end
  end
  local a, b = known[lo], known[hi]
  if b[1] == a[1] then return a[2] end
  return math.floor(a[2] + (b[2] - a[2]) * (block - a[1]) / (b[1] - a[1]))
end

local KEEP = { "hash", "block_number", "timestamp", "transaction_index", "from_address", "to_address", "value", "gas", "gas_price",
  "gas_used", "nonce", "input", "input_bytes", "status" }

local nonces, first_nonce = {}, 1000000
local function next_nonce(from)
  nonces[from] = (nonces[from] or first_nonce - 1) + 1
  return nonces[from]
end

local function prepare(t, i)
  local out = {}
  for _, key in ipairs(KEEP) do
    if given(t[key]) then out[key] = t[key] end
  end
  if given(t.input) and #t.input % 2 == 1 then out.input = nil end
  if not given(t.timestamp) then out.timestamp = time_of(t.block_number) end
  if not given(t.nonce) then out.nonce = next_nonce(t.from_address) end
  out.gas = string.format("%.0f", given(t.gas) and t.gas or given(t.gas_used) and t.gas_used > 21000 and t.gas_used or 21000)
  if given(t.gas_used) then out.gas_used = string.format("%.0f", t.gas_used) end
  if not given(t.gas_price) then out.gas_price = 20000000000 end
  if not given(t.hash) then out.hash = string.format("0x%064x", i) end
  if given(t.input_bytes) and given(t.input) and #t.input > 2 and t.input_bytes < (#t.input - 2) / 2 then out.input_bytes = nil end
  out.gas_price = string.format("%.0f", tonumber(out.gas_price))
  out.label = given(t.label) and t.label or nil
  return out
end

local function number_half(n) return math.floor(n * 2654435761 % 4294967296 / 65536) % 2 == 0 and "even" or "odd" end
local function address_half(a) return tonumber(a:sub(-1), 16) % 2 == 0 and "even" or "odd" end
local function wanted(of) return half == "all" or of == half end

local function write(name, rows, from_nonce)
  nonces, first_nonce = {}, from_nonce or 1000000
  table.sort(rows, function(a, b)
    if a.block_number ~= b.block_number then return a.block_number < b.block_number end
    return (given(a.transaction_index) and a.transaction_index or 0) < (given(b.transaction_index) and b.transaction_index or 0)
  end)
  local file = assert(io.open(tmp .. "/" .. name, "w"))
  for i, t in ipairs(rows) do file:write(cjson.encode(prepare(t, i)), "\n") end
  file:close()
  return #rows
end

-- --- running and counting ---

local function run(name, lists)
  local alerts, summary = {}, nil
  local pipe = io.popen(string.format("%s --rules %s --lists %s %s/%s", runner, rules, lists and tmp .. "/lists" or "/nowhere", tmp, name))
  for line in pipe:lines() do
    local row = cjson.decode(line)
    if row.rule then alerts[#alerts + 1] = row else summary = row end
  end
  pipe:close()
  assert(summary, "rule_quality failed")
  return alerts, summary
end

local LOUD = { high = true, critical = true }

-- Cases: alerts of one rule with one dedup key, less than an hour after the last, are one.
local function cases_of(alerts)
  local last, cases = {}, {}
  for _, a in ipairs(alerts) do
    local id = a.rule .. " " .. a.dedup
    if not last[id] or a.time - last[id] > 3600 then cases[#cases + 1] = a end
    last[id] = a.time
  end
  return cases
end

local function by_rule(cases)
  local count = {}
  for _, a in ipairs(cases) do
    local c = count[a.rule] or { all = 0, loud = 0 }
    c.all, c.loud = c.all + 1, c.loud + (LOUD[a.severity] and 1 or 0)
    count[a.rule] = c
  end
  return count
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function ordinary(title, rows, lists)
  local n = write("ordinary.ndjson", rows)
  local alerts, summary = run("ordinary.ndjson", lists)
  local cases = cases_of(alerts)
  local loud = 0
  for _, a in ipairs(cases) do loud = loud + (LOUD[a.severity] and 1 or 0) end
  print(string.format("\n## %s: %d transactions (%d refused), %.1f us each", title, n, summary.refused, summary.ns / 1000))
  print(string.format("high or critical: %d cases, %.0f per million; all: %d cases, %.0f per million", loud, 1e6 * loud / n, #cases,
    1e6 * #cases / n))
  local count = by_rule(cases)
  for _, rule in ipairs(sorted(count)) do
    print(string.format("  %-28s %6d cases %8.0f per million, high %5.0f", rule, count[rule].all, 1e6 * count[rule].all / n,
      1e6 * count[rule].loud / n))
  end
end

local function attacks(rows)
  local total = {}
  for _, t in ipairs(rows) do total[t.label] = (total[t.label] or 0) + 1 end
  write("attacks.ndjson", rows)
  local hit, by = {}, {}
  for _, a in ipairs((run("attacks.ndjson", false))) do
    local id = a.label .. " " .. a.n
    if not hit[id] then
      hit[id] = true
      by[a.label] = by[a.label] or {}
      by[a.label].any = (by[a.label].any or 0) + 1
    end
    local rule = a.label .. " " .. a.n .. a.rule
    if not hit[rule] then hit[rule], by[a.label][a.rule] = true, (by[a.label][a.rule] or 0) + 1 end
  end
  print "\n## Labelled front-running: share of the labelled transactions with an alert"
  for _, label in ipairs(sorted(total)) do
    local found = by[label] or {}
    print(string.format("%s: %d, found %.1f %%", label, total[label], 100 * (found.any or 0) / total[label]))
    for _, rule in ipairs(sorted(found)) do
      if rule ~= "any" then print(string.format("  %-28s %5.1f %%", rule, 100 * found[rule] / total[label])) end
    end
  end
end

local function phishing(rows, with_lists)
  local centres, total = {}, { phishing = 0, normal = 0 }
  for line in io.lines(folder .. "/eth_ego_labels.csv") do
    local address, label = line:match "^(0x%x+),(%a+),"
    if address and wanted(address_half(address)) then centres[address], total[label] = label, total[label] + 1 end
  end
  local mine = {}
  for _, t in ipairs(rows) do
    if centres[t.from_address] or given(t.to_address) and centres[t.to_address] then mine[#mine + 1] = t end
  end
  local n = write("ego.ndjson", mine, 0)
  local named = {}
  for _, a in ipairs((run("ego.ndjson", with_lists))) do
    -- The alert must be about the centre: its dedup key names it.
    for address in a.dedup:gmatch "0x%x+" do
      if centres[address] then
        named[a.rule] = named[a.rule] or {}
        named[a.rule][address] = true
        if LOUD[a.severity] or a.severity == "medium" then
          named["any, medium or above"] = named["any, medium or above"] or {}
          named["any, medium or above"][address] = true
        end
        named.any = named.any or {}
        named.any[address] = true
      end
    end
  end
  print(string.format("\n## Neighbourhoods of %d phishing and %d ordinary accounts%s: %d transactions, accounts that an alert is about",
    total.phishing, total.normal, with_lists and ", with address lists" or "", n))
  for _, rule in ipairs(sorted(named)) do
    local c = { phishing = 0, normal = 0 }
    for address in pairs(named[rule]) do c[centres[address]] = c[centres[address]] + 1 end
    print(string.format("  %-28s %5.1f %% of phishing, %5.1f %% of ordinary", rule, 100 * c.phishing / total.phishing,
      100 * c.normal / total.normal))
  end
end

os.execute(string.format("zcat %s/eth_address_labels.csv.gz > %s/lists/labels.csv", folder, tmp))
local eth, receipts, attack, ego = read "eth_tx.ndjson.gz", read "eth_tx_receipts.ndjson.gz", read "eth_attack_tx.ndjson.gz",
  read "eth_ego_tx.ndjson.gz"
learn(eth)
learn(ego)
for _, t in ipairs(attack) do
  if given(t.timestamp) then known[#known + 1] = { t.block_number, t.timestamp } end
end
table.sort(known, function(a, b) return a[1] < b[1] end)

local function pick(rows)
  local out = {}
  for _, t in ipairs(rows) do
    if wanted(number_half(t.block_number)) then out[#out + 1] = t end
  end
  return out
end

print("# Rules on real transactions, " .. half .. " half of blocks and accounts")
ordinary("Ordinary blocks", pick(eth), true)
ordinary("Blocks with receipts, many with MEV", pick(receipts), true)
attacks(pick(attack))
phishing(ego, false)
phishing(ego, true)
os.execute("rm -rf " .. tmp)
