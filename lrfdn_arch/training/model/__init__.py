"""The registered training model: what one step is.

BasicSR comes first: importing it registers this package's model, so the model's own module must
not be the one that starts the import.
"""

import basicsr  # noqa: F401
