"""The grader. One idea a file; exercises/README.md says how to use it, grade.py is where to start reading.

manifest     the exercises, their tests and their points       case         one input, and what came of it
folder       an exercise's own files                           answers      what `call` uses to read a learner's answer
compare      is it right, and where does it first differ       picture      a sequence in one line of text
judge        from outcomes to the verdict on a test            messages     the words
wrong        mistakes people make, recognised by their output  trace        the learner's own lines of a traceback
in_process   run an answer in this process: for the next two   in_pytest    pytest exercises/ex03_zoh
in_notebook  mambaedu.check
box          the clean copy that a graded file runs in         arrays       .npz files, written and read with care
child        what runs in the box                              lockdown     what it may not do there
runner       starts the child, watches it, ends it             record       the points, on disk after each test
"""
