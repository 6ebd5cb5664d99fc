# SPDX-License-Identifier: Apache-2.0
"""Hooks: executables of the operator's that are told what happens on this node, and one that may object."""
