--- What the rules find in real transactions: prepares the shared data, runs rule_quality over it, sums up.
--
--   luajit tests/bench/rule_quality.lua [--half even|odd|all] [--rules DIR] [FOLDER OF DATA]
--
-- Blocks and centres are split into two halves by a hash of block number or address: rules are tuned on the even half and
-- reported on the odd one. Records go in as they are; what they lack is filled in as by `chainwatch ingest --fill`.
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
  for line in pipe:lines() do
    local row = cjson.decode(line)
    row.line = line
    rows[#rows + 1] = row
  end
  pipe:close()
  if #rows == 0 then error("no rows in " .. folder .. "/" .. name) end
  return rows
end

local function given(x) return x ~= nil and x ~= cjson.null end

local function number_half(n) return math.floor(n * 2654435761 % 4294967296 / 65536) % 2 == 0 and "even" or "odd" end
local function address_half(a) return tonumber(a:sub(-1), 16) % 2 == 0 and "even" or "odd" end
local function wanted(of) return half == "all" or of == half end

local function write(name, rows)
  table.sort(rows, function(a, b)
    if a.block_number ~= b.block_number then return a.block_number < b.block_number end
    return (given(a.transaction_index) and a.transaction_index or 0) < (given(b.transaction_index) and b.transaction_index or 0)
  end)
  local file = assert(io.open(tmp .. "/" .. name, "w"))
  for _, t in ipairs(rows) do file:write(t.line, "\n") end
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

local LEVEL = { low = 0, medium = 1, high = 2, critical = 3 }

-- Alerts as they are stored: fires that founded one, with the highest severity it rose to.
local function cases_of(alerts)
  local living, cases = {}, {}
  for _, a in ipairs(alerts) do
    local id = a.rule .. " " .. a.dedup
    if a.founds or not living[id] then
      living[id] = a
      cases[#cases + 1] = a
    elseif LEVEL[a.severity] > LEVEL[living[id].severity] then
      living[id].severity = a.severity
    end
  end
  return cases
end

local function is_loud(a) return LEVEL[a.severity] >= LEVEL.high end

local function by_rule(cases)
  local count = {}
  for _, a in ipairs(cases) do
    local c = count[a.rule] or { all = 0, loud = 0 }
    c.all, c.loud = c.all + 1, c.loud + (is_loud(a) and 1 or 0)
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
  for _, a in ipairs(cases) do loud = loud + (is_loud(a) and 1 or 0) end
  print(string.format("\n## %s: %d transactions (%d refused), %.1f us each", title, n, summary.refused, summary.ns / 1000))
  print(string.format("high or critical: %d cases, %.0f per million; all: %d cases, %.0f per million", loud, 1e6 * loud / n, #cases,
    1e6 * #cases / n))
  local count = by_rule(cases)
  for _, rule in ipairs(sorted(count)) do
    print(string.format("  %-28s %6d cases %8.0f per million, high %5.0f", rule, count[rule].all, 1e6 * count[rule].all / n,
      1e6 * count[rule].loud / n))
  end
end

local function attacks(title, rows)
  local total, best, fired = {}, {}, {}
  for _, t in ipairs(rows) do
    local label = given(t.label) and t.label or "ordinary"
    total[label] = (total[label] or 0) + 1
  end
  write("attacks.ndjson", rows)
  for _, a in ipairs((run("attacks.ndjson", false))) do
    local label = a.label ~= "" and a.label or "ordinary"
    best[label], fired[label] = best[label] or {}, fired[label] or {}
    best[label][a.n] = math.max(best[label][a.n] or 0, LEVEL[a.severity])
    fired[label][a.rule] = fired[label][a.rule] or {}
    fired[label][a.rule][a.n] = true
  end
  print("\n## " .. title .. ": share of the transactions on which a rule fires (any severity; medium or above; high or above)")
  for _, label in ipairs(sorted(total)) do
    local n = { 0, 0, 0 }
    for _, level in pairs(best[label] or {}) do
      for i = 1, 3 do n[i] = n[i] + (level >= i - 1 and 1 or 0) end
    end
    print(string.format("%s: %d, %.1f %%; %.1f %%; %.1f %%", label, total[label], 100 * n[1] / total[label], 100 * n[2] / total[label],
      100 * n[3] / total[label]))
    for _, rule in ipairs(label ~= "ordinary" and sorted(fired[label] or {}) or {}) do
      local count = 0
      for _ in pairs(fired[label][rule]) do count = count + 1 end
      print(string.format("  %-28s %5.1f %%", rule, 100 * count / total[label]))
    end
  end
end

-- Area under the curve: the chance that a phishing account has a higher score than an ordinary one, ties half.
local function auc(scores, centres)
  local sum, n = 0, 0
  for p, label in pairs(centres) do
    for q, other in pairs(centres) do
      if label == "phishing" and other == "normal" then
        local a, b = scores[p] or 0, scores[q] or 0
        sum, n = sum + (a > b and 1 or a == b and 0.5 or 0), n + 1
      end
    end
  end
  return sum / n
end

-- All accounts of the neighbourhoods are in the stream; counted are alerts about a centre.
local function phishing(rows, with_lists)
  local centres, total, named, scores = {}, { phishing = 0, normal = 0 }, {}, {}
  for line in io.lines(folder .. "/eth_ego_labels.csv") do
    local address, label = line:match "^(0x%x+),(%a+),"
    if address and wanted(address_half(address)) then centres[address], total[label] = label, total[label] + 1 end
  end
  local function count(what, address)
    named[what] = named[what] or {}
    named[what][address] = true
  end
  local n = write("ego.ndjson", rows)
  for _, a in ipairs((run("ego.ndjson", with_lists))) do
    if centres[a.entity] then
      count(a.rule, a.entity)
      count("any severity", a.entity)
      if LEVEL[a.severity] >= LEVEL.medium then count("any rule, medium or above", a.entity) end
      if is_loud(a) then count("any rule, high or above", a.entity) end
      scores[a.entity] = math.max(scores[a.entity] or 0, a.score)
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
  print(string.format("  ranked by the highest score of their alerts: area under the curve %.3f", auc(scores, centres)))
end

os.execute(string.format("zcat %s/eth_address_labels.csv.gz > %s/lists/labels.csv", folder, tmp))
local eth, receipts, attack, ego = read "eth_tx.ndjson.gz", read "eth_tx_receipts.ndjson.gz", read "eth_attack_tx.ndjson.gz",
  read "eth_ego_tx.ndjson.gz"

local function pick(rows)
  local out = {}
  for _, t in ipairs(rows) do
    if wanted(number_half(t.block_number)) then out[#out + 1] = t end
  end
  return out
end

print("# Rules on real transactions, " .. half .. " half of blocks and accounts")
ordinary("Ordinary blocks", pick(eth), true)
ordinary("Ordinary blocks, no address lists", pick(eth), false)
ordinary("Blocks with receipts, many with MEV", pick(receipts), true)
attacks("Labelled front-running", pick(attack))
local mixed = pick(attack)
for _, t in ipairs(pick(eth)) do mixed[#mixed + 1] = t end
attacks("Labelled front-running among ordinary blocks", mixed)
phishing(ego, false)
phishing(ego, true)
os.execute("rm -rf " .. tmp)
