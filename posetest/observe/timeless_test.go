package observe_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// leaves are all values of an observation as JSON, by path.
func leaves(t *testing.T, o observe.Observation) map[string]string {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	var root any
	require.NoError(t, json.Unmarshal(text, &root))
	all := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, v := range v {
				walk(path+"."+key, v)
			}
		case []any:
			for i, v := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), v)
			}
		default:
			all[strings.TrimPrefix(path, ".")] = fmt.Sprint(v)
		}
	}
	walk("", root)
	return all
}

// unset are the fields that hold their zero value, in all structs below.
func unset(path string, v reflect.Value) (names []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return unset(path, v.Elem())
		}
	case reflect.Slice:
		if v.Len() > 0 {
			return unset(path+"[0]", v.Index(0))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			break
		}
		for i := range v.NumField() {
			names = append(names, unset(path+"."+v.Type().Field(i).Name, v.Field(i))...)
		}
		return names
	}
	if v.IsZero() {
		names = append(names, path)
	}
	return names
}

// What is no part of a timeless observation is exactly this: a new field must be decided on, here.
func TestTimeless(t *testing.T) {
	o := full()
	missing := slices.DeleteFunc(unset("", reflect.ValueOf(o)), func(path string) bool { return strings.HasPrefix(path, ".Variants[0].") }) // which are timeless as they are
	assert.Empty(t, missing, "fields that the observation of this test has not")

	before := leaves(t, full())
	timeless := leaves(t, o.Timeless())
	var left []string
	for path, value := range before {
		if timeless[path] != value {
			left = append(left, path)
		}
	}
	slices.Sort(left)
	assert.Equal(t, []string{"death.log[0]", "death.log[1]", "device_runs_ns[0]", "device_runs_ns[1]", "first_run_ns",
		"gpu.clock_mhz", "gpu.memory_clock_mhz", "gpu.power_w", "gpu.pstate", "gpu.temperature_c", "load_ns", "peak_memory_bytes", "photos[0].infer_ns", "run_ns",
		"runs_ns[0]", "runs_ns[1]", "runs_ns[2]", "start_ns", "when", "worker_ns"}, left)
	assert.Subset(t, slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(timeless)), "nothing is put in")

	assert.Equal(t, before, leaves(t, o), "the observation itself stays as it is")
	assert.Equal(t, timeless, leaves(t, o.Timeless().Timeless()), "once is enough")
	assert.Nil(t, observe.Observation{}.Timeless().Photos)
}

// A set is timeless as its observations are, and keeps its parts.
func TestTimelessSet(t *testing.T) {
	early, late := full(), full()
	late.When, late.Photos[0].Infer = late.When.Add(time.Hour), time.Second
	write := func(o observe.Observation) string {
		set := observe.Whole([]observe.Observation{o})
		var b bytes.Buffer
		require.NoError(t, observe.Write(&b, set.Timeless()))
		assert.Equal(t, o.When, set.Observations[0].When, "the set itself stays as it is")
		return b.String()
	}
	text := write(early)
	assert.Equal(t, text, write(late))
	assert.Contains(t, text, `"parts":[{"platform":"linux/amd64"`)
}
