import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import "./style.css";
import "./theme.ts";

createRoot(document.getElementById("root")!).render(<App />);
