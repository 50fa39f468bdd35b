//go:build !linux

package ortlib

import "context"

// Unfound tells nothing: only on Linux the dynamic linker can be asked.
func Unfound(context.Context, string, string, []string) ([]string, error) { return nil, nil }
