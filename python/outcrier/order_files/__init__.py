"""Files with the orders of a market, as the changes of an `OrderBook`: Databento MBO, LOBSTER, Bitstamp 2015.

from outcrier.order_files import read_dbn
from outcrier.orders import OrderBook

file = read_dbn("ESH4.mbo.dbn.zst")
book = OrderBook(file.tick)
for event in file.events():
    book.apply(event.ops, event.ts)
"""

from outcrier.order_files.bitstamp import read_bitstamp
from outcrier.order_files.common import OrderEvent, OrderFile
from outcrier.order_files.dbn import read_dbn
from outcrier.order_files.lobster import read_lobster

__all__ = ["OrderEvent", "OrderFile", "read_bitstamp", "read_dbn", "read_lobster"]
