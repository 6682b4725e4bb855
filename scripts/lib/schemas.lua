--- JSON schemas of what goes out, for the OpenAPI document. Data only.

local quantity = { type = "string", pattern = "^[0-9]+$", description = "exact decimal" }
local hash = { type = "string", pattern = "^0x[0-9a-f]{64}$" }
local address = { type = "string", pattern = "^0x[0-9a-f]{40}$" }
local severity = { type = "string", enum = { "low", "medium", "high", "critical" } }
local time = { type = "string", format = "date-time" }
local score = { type = "number", minimum = 0, maximum = 1 }

local role = { type = "string", enum = { "actor", "victim", "counterparty", "unknown" },
  description = "what the entity has done, or had done to it" }
local entity = { type = { "string", "null" }, description = "the address that the alert is about" }
local labels = { type = "array", description = "entries of address lists that it rests on (use evidence), or that "
  .. "hid it (use suppression)", items = { type = "object", properties = { list = { type = "string" },
  version = { type = "integer", description = "of the list; 0: a file" }, file = { type = "string" }, address = address,
  chain = { type = "integer" }, category = { type = "string" }, name = { type = "string" },
  source = { type = "string" }, confidence = { type = { "number", "null" } }, use = { type = "string" } } } }

local alert = {
  type = "object",
  properties = {
    id = { type = "integer", description = "of the living alert" }, rule = { type = "string" },
    new = { type = "boolean", description = "false: further evidence of an alert that lives" },
    version = { type = "string" }, title = { type = "string" },
    severity = severity, score = score, confidence = score, explanation = { type = "string" },
    features = { type = "object", description = "values, limits and baselines that decided" },
    role = role, entity = entity, labels = labels,
  },
}

local verdict = {
  type = "object",
  required = { "hash", "duplicate", "is_anomaly", "anomaly_score", "alerts" },
  properties = {
    hash = hash, chainId = quantity, transaction_id = { type = "integer" },
    duplicate = { type = "boolean", description = "known before: this is the stored verdict" },
    is_anomaly = { type = "boolean" }, anomaly_score = score, confidence = score,
    severity = { type = { "string", "null" }, enum = { "low", "medium", "high", "critical", json.null } },
    ruleset = { type = "string", description = "digest of the rules that judged" },
    suppressed = { type = "integer", description = "alerts that a suppression hides: not listed, no anomaly" },
    alerts = { type = "array", items = alert },
  },
}

local transaction_in = {
  type = "object",
  description = "JSON-RPC names, or the snake_case ones (block_number, from_address, to_address, gas_price, ...); "
    .. "quantities as integers, decimal strings or 0x hex; value and gasPrice are wei",
  required = { "hash", "blockNumber", "timestamp", "from", "value", "gas", "gasPrice", "nonce" },
  properties = {
    hash = hash, blockNumber = quantity, timestamp = { description = "unix seconds, or RFC 3339" }, from = address,
    to = { type = { "string", "null" }, description = "null: contract creation" }, value = quantity, gas = quantity,
    gasPrice = quantity, gasUsed = quantity, nonce = quantity, input = { type = "string", pattern = "^0x[0-9a-f]*$" },
    chainId = quantity, status = { type = "integer", enum = { 0, 1 } }, blockHash = hash,
    transactionIndex = quantity,
  },
}

local transaction = {
  type = "object",
  properties = {
    hash = hash, chainId = quantity, blockNumber = quantity, timestamp = quantity, from = address,
    to = { type = { "string", "null" } }, value = quantity, gas = quantity, gasPrice = quantity, nonce = quantity,
    input = { type = { "string", "null" } },
  },
}

local anomaly = {
  type = "object",
  properties = {
    id = { type = "integer" }, severity = severity, score = score, confidence = score,
    rule = { type = "string" }, rule_version = { type = "string" }, title = { type = "string" },
    explanation = { type = "string", description = "of the strongest fire" }, features = { type = "object" },
    detected_at = time, occurrences = { type = "integer", description = "transactions on which it fired" },
    last_seen = { type = "string", format = "date-time", description = "block time of the last of them" },
    suppressed_by = { type = { "integer", "null" } },
    finality = { type = "string", enum = { "provisional", "final", "retracted" } },
    reborn_of = { type = { "integer", "null" }, description = "the retracted alert that this one is again" },
    reviewed = { type = "boolean" }, false_positive = { type = { "boolean", "null" } }, status = { type = "string" },
    role = role, entity = entity, labels = labels,
    label_withdrawn_at = { type = { "string", "null" }, description = "when a label that it rested on was taken away" },
    transaction = transaction,
  },
}

local evidence = {
  type = "object",
  properties = {
    transaction_id = { type = "integer" }, detected_at = time, severity = severity, score = score, confidence = score,
    model_version_id = { type = "integer" }, explanation = { type = "string" }, features = { type = "object" },
    suppressed_by = { type = { "integer", "null" } }, transaction = transaction,
  },
}

local suppression = {
  type = "object",
  properties = {
    id = { type = "integer" }, rule = { type = { "string", "null" } }, address = { type = { "string", "null" } },
    dedup_key = { type = { "string", "null" } }, chain_id = { type = { "integer", "null" } },
    list = { type = { "string", "null" }, description = "an address list that hides alerts" },
    rules = { type = { "array", "null" } }, side = { type = { "string", "null" } },
    max_severity = { type = { "string", "null" } },
    reason = { type = "string" }, owner = { type = { "integer", "null" }, description = "user" }, created_at = time,
    expires_at = time, ended_at = { type = { "string", "null" } }, active = { type = "boolean" },
    hidden = { type = "integer", description = "fires that it has kept from being told" },
    last_hidden_at = { type = { "string", "null" } },
  },
}

local label_version = {
  type = "object",
  properties = {
    list = { type = "string" }, version = { type = "integer" }, action = { type = "string" },
    checksum = { type = "string", description = "SHA-256 over the entries" }, entries = { type = "integer" },
    added = { type = "integer" }, changed = { type = "integer" }, removed = { type = "integer" },
    reopened = { type = "integer", description = "alerts that rested on what was taken away" },
    format = { type = "string" }, file = { type = "string" }, created_at = time,
    created_by = { type = { "integer", "null" } },
  },
}

local function page(of)
  return {
    type = "object", required = { "items", "next" },
    properties = {
      items = { type = "array", items = of },
      next = { type = { "string", "null" }, description = "cursor of the next page; null on the last" },
    },
  }
end

return { verdict = verdict, transaction_in = transaction_in, transaction = transaction, anomaly = anomaly,
  evidence = evidence, suppression = suppression, label_version = label_version, page = page }
