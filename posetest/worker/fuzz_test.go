package worker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A request that is read asks for one thing that has a name, and is written so that it reads the same.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{`{"library":"/opt/libonnxruntime.so"}`, `{"open":{"path":"a.onnx","family":"movenet","provider":"cpu","threads":1,"inputs":[{"name":"x","type":"int32","shape":[1,-1]}],"outputs":null,"tuning":{"no_arena":true}}}`,
		`{"infer":{"image":"a.jpg","options":{"confidence":0.25}}}`, `{"time":{}}`, `{"ping":true}`, `{"close":true,"open":null}`, `{"open":{},"close":true}`} {
		f.Add([]byte(seed + "\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r request
		if err := readLine(bufio.NewReader(bytes.NewReader(text)), &r); err != nil {
			return
		}
		assert.Contains(t, []string{"library", "open", "infer", "time", "close", "ping"}, r.name())
		var b bytes.Buffer
		require.NoError(t, writeLine(&b, r))
		assert.Equal(t, 1, bytes.Count(b.Bytes(), []byte("\n")), "one line")
		var again request
		require.NoError(t, readLine(bufio.NewReader(&b), &again))
		assert.Equal(t, r.name(), again.name())
		first, err := json.Marshal(r)
		require.NoError(t, err)
		second, err := json.Marshal(again)
		require.NoError(t, err)
		assert.Equal(t, string(first), string(second))
	})
}
