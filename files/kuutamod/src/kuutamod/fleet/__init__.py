# SPDX-License-Identifier: Apache-2.0
"""The fleet as an operator sees and steers it: what kuutamoctl and the Ansible modules have in common. No terminal here."""
