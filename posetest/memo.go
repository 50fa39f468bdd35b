package posetest

import (
	"sync"

	"github.com/posetest/suite/posetest/observe"
)

// A memo makes something once for each cell, however many tests look at it, and anew when a test looks again, as by
// -count. Its zero value is empty. It is safe for concurrent use.
type memo[T any] struct {
	mu   sync.Mutex
	made map[observe.Cell]*made[T]
}

// made is what was made for a cell, and the tests that used it up.
type made[T any] struct {
	once  sync.Once
	value T
	err   error
	used  map[string]bool
}

// get returns what a cell has; user is the test that looks at it.
func (m *memo[T]) get(cell observe.Cell, user string, make func() (T, error)) (T, error) {
	m.mu.Lock()
	entry := m.made[cell]
	if entry == nil || entry.used[user] {
		if m.made == nil {
			m.made = map[observe.Cell]*made[T]{}
		}
		entry = &made[T]{used: map[string]bool{}}
		m.made[cell] = entry
	}
	entry.used[user] = true
	m.mu.Unlock()
	entry.once.Do(func() { entry.value, entry.err = make() })
	return entry.value, entry.err
}
