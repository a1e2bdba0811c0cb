from promptmatte.cli import main

raise SystemExit(main())
