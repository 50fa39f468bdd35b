package session

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A sentence of the runtime gives operator, opset and node back, wherever it stands; and of any words nothing is read that is not
// in them.
func FuzzMissingKernel(f *testing.F) {
	f.Add("ConvInteger", 10, "/model.0/conv/Conv_quant", "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : ")
	f.Add("my-org.ops:Blur(2)", 2, `it's "here" 'too`, "")
	f.Add("Conv", 11, "", "Could not find an implementation for Conv(11) node with name ''")
	f.Fuzz(func(t *testing.T, op string, opset int, node, before string) {
		if err := newLoadError(before, op).Missing; err != nil {
			assert.Contains(t, hidePath(before, op), err.Node)
			assert.GreaterOrEqual(t, err.Opset, 0)
			assert.NotEmpty(t, err.Op)
		}
		if op == "" || strings.ContainsFunc(op+node, func(r rune) bool { return r <= ' ' || r > '~' }) || opset < 0 || strings.Contains(before, "Could not find") {
			return
		}
		missing := newLoadError(fmt.Sprintf("%sCould not find an implementation for %s(%d) node with name '%s'", before, op, opset, node), "").Missing
		require.NotNil(t, missing)
		assert.Equal(t, MissingKernelError{op, opset, node}, *missing)
	})
}

// Of whatever list: what is taken has names and options that can be, each once, and none that opens a file of code; and nothing panics.
func FuzzParseVariants(f *testing.F) {
	f.Add(string(providersJSON))
	f.Add(strings.Replace(string(providersJSON), `"device_type"`, `"cache_dir"`, 1))
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseVariants([]byte(text))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, v := range all {
			require.Regexp(t, variantID, v.ID)
			require.False(t, seen[v.ID], v.ID)
			seen[v.ID] = true
			require.NotEmpty(t, providers[v.Provider()].runtimeName, v.ID)
			require.NotContains(t, v.Options, "cache_dir")
		}
		require.Subset(t, slices.Collect(maps.Keys(seen)), Providers())
	})
}
