# SPDX-License-Identifier: Apache-2.0
"""The preflight of a node: everything that can be known to be wrong before kuutamod is started. Starts and changes nothing.

Where to look: ``inspect`` puts it together; each other module looks at one thing and returns findings.
"""
