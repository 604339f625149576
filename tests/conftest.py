"""One thread for each test process: small tensors gain nothing from more, and two workers would fight."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; inherited by what tests start
