import { Connection } from "./Connection";
import { Notes } from "./Notes";
import { Progress } from "./Progress";
import { TodoList } from "./TodoList";

export function App() {
  return (
    <>
      <header className="top">
        <h1>{{title}}</h1>
        <Connection />
      </header>
      <main>
        <TodoList />
        <div className="side">
          <Progress />
          <Notes />
        </div>
      </main>
      <footer>
        Open this page a second time, then change something. The functions stand in <code>{{dir}}/functions/index.ts</code>.
      </footer>
    </>
  );
}
