# SPDX-License-Identifier: Apache-2.0
"""Fleets of hosts that boot systemd in containers, with an inventory for Ansible and a referee over all of them."""
