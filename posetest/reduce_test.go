package posetest

import (
	"testing"

	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
)

func TestHideNames(t *testing.T) {
	names := map[string]bool{"/model.0/conv/Conv_quant": true, "model/Conv1": true, "x": true}
	for _, row := range []struct{ why, a, b string }{
		{"another node of the model", "for ConvInteger(10) node with name '/model.0/conv/Conv_quant'", "for ConvInteger(10) node with name 'model/Conv1'"},
		{"a name at the end of a sentence", "Node (model/Conv1) is bad: see x.", "Node (x) is bad: see model/Conv1."},
		{"a count of nodes, a line of the source", "graph.cc:123 node 17", "graph.cc:99 node 4"},
	} {
		t.Run(row.why, func(t *testing.T) {
			assert.Equal(t, hideNames(row.a, names), hideNames(row.b, names))
		})
	}
	assert.NotEqual(t, hideNames("Could not find an implementation for ConvInteger(10)", names), hideNames("Could not find an implementation for Conv(10)", names),
		"another operator is another failure")
	assert.Equal(t, "no axis", hideNames("no axis", names), "a name within a word is none")
}

func TestTriesFor(t *testing.T) {
	for _, row := range []struct {
		why                       string
		failed, tries, want, need int
	}{
		{"words come each time", 1, 1, 1, 1},
		{"a crash each time may come less often in a part", 6, 6, 14, 3},
		{"in half of the tries: (1+14+91)/2¹⁴ is below a hundredth, (1+13+78)/2¹³ is not", 3, 6, 14, 3},
		{"once in six", 1, 6, 48, 3},
	} {
		t.Run(row.why, func(t *testing.T) {
			n, need := triesFor(row.failed, row.tries)
			assert.Equal(t, []int{row.want, row.need}, []int{n, need})
		})
	}
}

func TestSameFailure(t *testing.T) {
	fails := func(message string) observe.Observation {
		return observe.Observation{Outcome: observe.Fails, Failure: &observe.Failure{Message: message}}
	}
	crashes := func(signal, during string) observe.Observation {
		return observe.Observation{Outcome: observe.Crashes, Death: &observe.Death{Signal: signal, During: during}}
	}
	for _, row := range []struct {
		why       string
		want, got observe.Observation
		same      bool
	}{
		{"the same words", fails("not acyclic"), fails("not acyclic"), true},
		{"words of another fault, which the cut made", fails("not acyclic"), fails("no shape of x"), false},
		{"it loads", fails("not acyclic"), observe.Observation{Outcome: observe.Loads}, false},
		{"a crash instead of words", fails("not acyclic"), crashes("SIGSEGV", "open"), false},
		{"the same signal", crashes("SIGSEGV", "open"), crashes("SIGSEGV", "open"), true},
		{"another signal", crashes("SIGSEGV", "open"), crashes("SIGABRT", "open"), false},
		{"the runtime itself does not open", crashes("SIGSEGV", "open"), crashes("SIGSEGV", "library"), false},
	} {
		t.Run(row.why, func(t *testing.T) {
			j := reducing{want: row.want}
			if row.want.Failure != nil {
				j.words = hideNames(row.want.Failure.Message, nil)
			}
			assert.Equal(t, row.same, j.same(row.got))
		})
	}
}
