# SPDX-License-Identifier: Apache-2.0
"""Everything that touches neard: its home, keys and config, its process (through the guard) and its RPC."""
