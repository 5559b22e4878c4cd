"""``python -m lstm_odyssey.reports.paper STUDY.nc`` prints 'the paper says, we find'."""

from lstm_odyssey.reports.paper import main

main()
