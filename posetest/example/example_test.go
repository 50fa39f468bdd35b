// Package example is another module that runs posetest on its own catalogue, testdata/models/models.json. Its model is in
// the folder models of a data path, here the repository of posetest itself; without photographs of its own it is held to
// the built-in ones.
package example_test

import (
	"testing"

	"github.com/posetest/suite/posetest"
)

var suite = posetest.New(posetest.Config{Dir: "testdata", Data: []string{"../.."}})

func TestMain(m *testing.M) { posetest.Main(m) }

func TestLoad(t *testing.T) { suite.TestLoad(t) }

func TestInfer(t *testing.T) { suite.TestInfer(t) }
