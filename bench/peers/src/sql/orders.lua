-- A mix of transactions in the manner of TPC-C, for sysbench: a wholesaler's warehouses, their districts and customers, orders of several
-- lines. The shares are those of its specification (clause 5.2.3: 45 % new orders, 43 % payments, 4 % each of the others); the tables are
-- a hundredth of its size, so that everything fits into memory and the server's own work stays small beside the wire's.

local WAREHOUSES, DISTRICTS, CUSTOMERS, ITEMS = 2, 10, 100, 1000

local TABLES = {
   "warehouse (w INT PRIMARY KEY, name VARCHAR(10), tax DECIMAL(4,4), ytd DECIMAL(12,2))",
   "district (w INT, d INT, name VARCHAR(10), tax DECIMAL(4,4), ytd DECIMAL(12,2), next_o INT, PRIMARY KEY (w, d))",
   "customer (w INT, d INT, c INT, name VARCHAR(16), balance DECIMAL(12,2), payments INT, deliveries INT, data VARCHAR(250), PRIMARY KEY (w, d, c))",
   "history (id BIGINT AUTO_INCREMENT PRIMARY KEY, w INT, d INT, c INT, amount DECIMAL(6,2), at DATETIME)",
   "item (i INT PRIMARY KEY, name VARCHAR(24), price DECIMAL(5,2))",
   "stock (w INT, i INT, quantity INT, sold INT, PRIMARY KEY (w, i))",
   "orders (w INT, d INT, o INT, c INT, entered DATETIME, carrier INT, PRIMARY KEY (w, d, o), KEY (w, d, c, o))",
   "new_order (w INT, d INT, o INT, PRIMARY KEY (w, d, o))",
   "order_line (w INT, d INT, o INT, n INT, i INT, quantity INT, amount DECIMAL(6,2), delivered DATETIME, PRIMARY KEY (w, d, o, n))",
}

local con

local function insert(into, row, count)
   con:bulk_insert_init("INSERT INTO " .. into .. " VALUES")
   for i = 1, count do
      con:bulk_insert_next(row(i))
   end
   con:bulk_insert_done()
end

function prepare()
   con = sysbench.sql.driver():connect()
   for _, definition in ipairs(TABLES) do
      con:query("CREATE TABLE " .. definition .. " ENGINE=InnoDB")
   end
   insert("item", function(i) return string.format("(%d, 'item %d', %d.%02d)", i, i, i % 99 + 1, i % 100) end, ITEMS)
   for w = 1, WAREHOUSES do
      con:query(string.format("INSERT INTO warehouse VALUES (%d, 'house %d', 0.05, 0)", w, w))
      insert("stock", function(i) return string.format("(%d, %d, %d, 0)", w, i, i % 91 + 10) end, ITEMS)
      for d = 1, DISTRICTS do
         con:query(string.format("INSERT INTO district VALUES (%d, %d, 'district', 0.05, 0, 1)", w, d))
         insert("customer", function(c)
            return string.format("(%d, %d, %d, 'customer %d', -10, 0, 0, '%s')", w, d, c, c, string.rep("x", 200))
         end, CUSTOMERS)
      end
   end
end

local function number(max) return sysbench.rand.uniform(1, max) end

local function run(...) return con:query(string.format(...)) end

-- One row, or nothing.
local function row(...)
   local result = run(...)
   if result.nrows == 0 then return nil end
   return result:fetch_row()
end

local function new_order(w, d)
   run("BEGIN")
   local c = number(CUSTOMERS)
   row("SELECT customer.name, balance, tax FROM customer JOIN warehouse USING (w) WHERE customer.w = %d AND d = %d AND c = %d", w, d, c)
   local o = tonumber(row("SELECT next_o, tax FROM district WHERE w = %d AND d = %d FOR UPDATE", w, d)[1])
   run("UPDATE district SET next_o = next_o + 1 WHERE w = %d AND d = %d", w, d)
   run("INSERT INTO orders VALUES (%d, %d, %d, %d, NOW(), NULL)", w, d, o, c)
   run("INSERT INTO new_order VALUES (%d, %d, %d)", w, d, o)
   -- In one order for all, so that two orders do not wait for each other's items.
   local items = {}
   for n = 1, sysbench.rand.uniform(5, 15) do items[n] = number(ITEMS) end
   table.sort(items)
   for n, i in ipairs(items) do
      local price = tonumber(row("SELECT price, name FROM item WHERE i = %d", i)[1])
      row("SELECT quantity, sold FROM stock WHERE w = %d AND i = %d FOR UPDATE", w, i)
      local quantity = number(10)
      run("UPDATE stock SET quantity = IF(quantity > %d, quantity - %d, quantity + 91), sold = sold + %d WHERE w = %d AND i = %d",
         quantity + 10, quantity, quantity, w, i)
      run("INSERT INTO order_line VALUES (%d, %d, %d, %d, %d, %d, %.2f, NULL)", w, d, o, n, i, quantity, quantity * price)
   end
   run("COMMIT")
end

local function payment(w, d)
   local c, amount = number(CUSTOMERS), number(5000)
   run("BEGIN")
   run("UPDATE warehouse SET ytd = ytd + %d WHERE w = %d", amount, w)
   row("SELECT name FROM warehouse WHERE w = %d", w)
   run("UPDATE district SET ytd = ytd + %d WHERE w = %d AND d = %d", amount, w, d)
   row("SELECT name FROM district WHERE w = %d AND d = %d", w, d)
   row("SELECT name, balance, data FROM customer WHERE w = %d AND d = %d AND c = %d FOR UPDATE", w, d, c)
   run("UPDATE customer SET balance = balance - %d, payments = payments + 1 WHERE w = %d AND d = %d AND c = %d", amount, w, d, c)
   run("INSERT INTO history (w, d, c, amount, at) VALUES (%d, %d, %d, %d, NOW())", w, d, c, amount)
   run("COMMIT")
end

local function order_status(w, d)
   local c = number(CUSTOMERS)
   run("BEGIN")
   row("SELECT name, balance FROM customer WHERE w = %d AND d = %d AND c = %d", w, d, c)
   local order = row("SELECT o, entered, carrier FROM orders WHERE w = %d AND d = %d AND c = %d ORDER BY o DESC LIMIT 1", w, d, c)
   if order then
      run("SELECT i, quantity, amount, delivered FROM order_line WHERE w = %d AND d = %d AND o = %d", w, d, tonumber(order[1]))
   end
   run("COMMIT")
end

local function delivery(w, d)
   run("BEGIN")
   local oldest = row("SELECT o FROM new_order WHERE w = %d AND d = %d ORDER BY o LIMIT 1 FOR UPDATE", w, d)
   if oldest then
      local o = tonumber(oldest[1])
      run("DELETE FROM new_order WHERE w = %d AND d = %d AND o = %d", w, d, o)
      local c = tonumber(row("SELECT c FROM orders WHERE w = %d AND d = %d AND o = %d", w, d, o)[1])
      run("UPDATE orders SET carrier = %d WHERE w = %d AND d = %d AND o = %d", number(10), w, d, o)
      run("UPDATE order_line SET delivered = NOW() WHERE w = %d AND d = %d AND o = %d", w, d, o)
      local sum = row("SELECT SUM(amount) FROM order_line WHERE w = %d AND d = %d AND o = %d", w, d, o)[1]
      run("UPDATE customer SET balance = balance + %s, deliveries = deliveries + 1 WHERE w = %d AND d = %d AND c = %d", sum, w, d, c)
   end
   run("COMMIT")
end

local function stock_level(w, d)
   local next = tonumber(row("SELECT next_o FROM district WHERE w = %d AND d = %d", w, d)[1])
   row("SELECT COUNT(DISTINCT stock.i) FROM order_line JOIN stock ON stock.w = order_line.w AND stock.i = order_line.i "
      .. "WHERE order_line.w = %d AND order_line.d = %d AND order_line.o >= %d AND stock.quantity < %d", w, d, next - 20, sysbench.rand.uniform(10, 20))
end

function thread_init() con = sysbench.sql.driver():connect() end

function thread_done() con:disconnect() end

function event()
   local w, d, dice = number(WAREHOUSES), number(DISTRICTS), number(100)
   if dice <= 45 then new_order(w, d)
   elseif dice <= 88 then payment(w, d)
   elseif dice <= 92 then order_status(w, d)
   elseif dice <= 96 then delivery(w, d)
   else stock_level(w, d) end
end

-- A deadlock or a lock that was not had in time: the transaction is begun again, and counted by sysbench as an error that was ignored.
function sysbench.hooks.before_restart_event(_) con:query("ROLLBACK") end
