# SPDX-License-Identifier: Apache-2.0
"""Consul: the only package that imports the client library, and the only one that knows what Consul's answers mean."""
