#!/bin/sh
# Stands in for a browser: writes the address that it is to show to the file that BROWSER_OUT names.
printf %s "$1" > "$BROWSER_OUT.part" && mv "$BROWSER_OUT.part" "$BROWSER_OUT"
