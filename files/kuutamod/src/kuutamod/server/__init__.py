# SPDX-License-Identifier: Apache-2.0
"""What the node shows over HTTP."""
