# SPDX-License-Identifier: Apache-2.0
"""A stand-in for neard, the simulated chain it signs for, and the referee of its signatures.

For tests and the one-machine localnet only; the daemon never imports it.
"""
