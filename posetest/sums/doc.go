// Package sums takes the sha256 of files, and tells whether a file is still the one whose sum was taken.
//
// A [Memo] reads a file once, and again only if it was touched since, so that a sum can be asked for at every use:
//
//	sum, stamp, err := memo.Of(ctx, "model.onnx")
//	… // something opens the file by its path
//	again, err := sums.StampOf("model.onnx") // what was opened had the sum if again == stamp
//
// A [List] has the sums of all files of a folder, and holds the folder to them:
//
//	list, err := sums.Tree(ctx, dir)
//	err = list.Check(ctx, dir, memo, nil)
package sums
