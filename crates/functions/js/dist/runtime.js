export{call,callHook,inspect}from"ferry:core";
