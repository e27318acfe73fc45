import { FerryProvider } from "@ferry/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { client } from "../{{dir}}/client";
import { App } from "./App";
import "./style.css";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <FerryProvider client={client}>
      <App />
    </FerryProvider>
  </StrictMode>,
);
